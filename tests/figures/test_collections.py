"""The sheets of commands over folders: rows of patches, rows of neighbors, and the map."""

from __future__ import annotations

import json
import re

import numpy as np
from PIL import Image

from cnnviz.features.layout import scatter_layout
from cnnviz.figures.class_colors import OTHER, class_colors, limited_classes
from cnnviz.figures.embedding import EmbeddingFigure
from cnnviz.figures.neighbors import Neighbor, neighbor_sheet
from cnnviz.figures.patches import PATCH_SIDE, PatchTile, crop_window, patch_sheet

PHOTO = Image.new("RGB", (150, 150), "teal")


def test_gradients_stand_below_their_patches():
    plain, guided = PatchTile(PHOTO, 1.0), PatchTile(PHOTO, 1.0, Image.new("RGB", (150, 150), "red"))
    without = patch_sheet({17: [plain, plain], 3: [plain]}, "title")
    with_them = patch_sheet({17: [guided, guided], 3: [guided]}, "title")
    assert without.width == with_them.width
    assert with_them.height > without.height + 2 * PATCH_SIDE
    teal, red = ((np.asarray(with_them) == color).all(axis=2).sum() for color in ((0, 128, 128), (255, 0, 0)))
    assert teal == red == 3 * PATCH_SIDE**2


def test_each_space_has_a_row_that_begins_with_the_image_asked_for():
    near = [Neighbor(Image.new("RGB", (150, 150), "red"), f"{n}.png", 0.1 * n) for n in range(3)]
    sheet = np.asarray(neighbor_sheet(PHOTO, "query.png", {"features": near, "pixels": near[::-1]}, "title"))
    teal, red = ((sheet == color).all(axis=2) for color in ((0, 128, 128), (255, 0, 0)))
    assert (teal.sum(), red.sum()) == (2 * 144 * 144, 6 * 144 * 144)
    assert teal.nonzero()[1].max() < red.nonzero()[1].min()


def test_rare_classes_are_taken_together():
    names = [f"class {n}" for n in range(30) for _ in range(40 - n)]
    limited, colors = limited_classes(names)
    assert colors == {**class_colors(names), "6 other classes": OTHER}
    assert limited[0] == "class 0"
    assert limited[-1] == "6 other classes"
    assert limited_classes(["a", "b"]) == (["a", "b"], class_colors(["a", "b"]))


def test_the_map_needs_no_classes():
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    for classes in ([], ["a", "b", "a"]):
        colors = class_colors(classes)
        figure = EmbeddingFigure(
            [PHOTO] * 3, scatter_layout(points), points, ["1", "2", "3"], classes, ["x", "y", "z"], colors, "title"
        )
        frames = [(np.asarray(figure.image()) == [0x00, 0x72, 0xB2]).all(axis=2).any()]
        assert frames == [bool(classes)]
        data = json.loads(re.search(r'type="application/json">(.*?)</script>', figure.page(), re.S)[1])
        assert [item["kind"] for item in data["items"]] == ([0, 1, 0] if classes else [-1, -1, -1])
        assert [item["remark"] for item in data["items"]] == ["x", "y", "z"]


def test_patches_show_their_window_at_one_scale():
    """A photo at twice the network's size, each pixel coded by where it stands."""
    rows, columns = np.mgrid[0:80, 0:120]
    photo = Image.fromarray(np.stack([rows, columns, rows * 0], axis=-1).astype(np.uint8))
    inside = np.asarray(crop_window(photo, (40, 60), (10, 20, 20, 30), side=20), dtype=int)
    assert inside.shape == (20, 20, 3)
    np.testing.assert_array_equal(inside[..., 0], np.mgrid[20:40, 40:60][0])
    np.testing.assert_array_equal(inside[..., 1], np.mgrid[20:40, 40:60][1])
    corner = np.asarray(crop_window(photo, (40, 60), (-5, -5, 5, 5), side=20), dtype=int)
    assert (corner[:10] == 226).all() and (corner[:, :10] == 226).all()
    np.testing.assert_array_equal(corner[10:, 10:, 0], np.mgrid[0:10, 0:10][0])
    beyond = np.asarray(crop_window(photo, (40, 60), (-20, 0, -10, 10), side=20))
    assert (beyond == 226).all()
