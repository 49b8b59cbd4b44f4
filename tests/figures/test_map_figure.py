"""Maps of many images: a color for each class, a cell for each thumbnail."""

from __future__ import annotations

import numpy as np
from PIL import Image

from cnnviz.features.layout import GridLayout
from cnnviz.figures.class_colors import class_colors
from cnnviz.figures.map_figure import map_figure


def test_colors_are_distinct():
    names = [f"class {n}" for n in range(30) for _ in range(40 - n)]
    colors = class_colors(names)
    assert list(colors) == [f"class {n}" for n in range(24)]
    rgb = np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in colors.values()], dtype=float)
    apart = np.linalg.norm(rgb[:, None] - rgb[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert apart.min() > 25
    assert class_colors([]) == {}


def test_sheet_shows_each_thumbnail_in_its_cell_and_frame():
    thumbs = [Image.new("RGB", (40, 40), color) for color in ("red", "lime", "blue")]
    places = GridLayout(np.array([[0, 0], [2, 0], [1, 1]]), 3, 2)
    sheet = map_figure(thumbs, places, ["#ff00ff", "#00ffff", "#ffff00"], legend={"a": "#ff00ff"}, title="three")
    pixels = np.asarray(sheet).reshape(-1, 3)
    for color in ([255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 0, 255], [0, 255, 255], [255, 255, 0]):
        assert (pixels == color).all(axis=1).sum() > 500
    where = [np.argwhere((np.asarray(sheet) == color).all(axis=2)).mean(axis=0) for color in ([255, 0, 0], [0, 255, 0])]
    assert abs(where[0][0] - where[1][0]) < 1 and where[1][1] > where[0][1] + 150


def test_a_class_keeps_its_color():
    few, many = ["dog", "cat"], ["cat"] + 5 * ["dog"] + ["ant 10", "ant 9"]
    assert class_colors(few) == class_colors([*few[::-1], "dog"])
    assert list(class_colors(many)) == ["ant 9", "ant 10", "cat", "dog"]
    order = ("dog", "bird", "cat")
    colors = class_colors(["cat", "dog"], order)
    assert list(colors) == ["dog", "cat"] and colors == {n: class_colors(order, order)[n] for n in ("dog", "cat")}
    large = tuple(f"class {n}" for n in range(1000, 0, -1))
    assert list(class_colors(["class 3", "class 900", "class 3"], large)) == ["class 900", "class 3"]


def test_a_mistake_has_a_corner():
    thumbs = [Image.new("RGB", (40, 40), "white")] * 2
    places = GridLayout(np.array([[0, 0], [1, 0]]), 2, 1)
    shown = {"colors": ["#ff00ff", "#ff00ff"], "legend": {"a": "#ff00ff"}}
    plain, marked = (np.asarray(map_figure(thumbs, places, marks=marks, **shown)) for marks in (None, ["", "#00ff00"]))
    corner = np.argwhere((marked == [0, 255, 0]).all(axis=2))
    assert len(corner) > 100 and corner[:, 1].min() > marked.shape[1] // 2
    assert not (plain == [0, 255, 0]).all(axis=2).any() and marked.shape[0] == plain.shape[0] + 26
