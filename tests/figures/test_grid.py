"""Figures: aligned, on white, with text that fits and can be drawn."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cnnviz.errors import UsageError
from cnnviz.figures.grid import grid, panel

LONG = "a caption far too long for any tile, that goes on and on until nobody could wish to read any more of it"


def tile(width: int, height: int, color: str = "teal") -> Image.Image:
    return Image.new("RGB", (width, height), color)


def spans(figure: Image.Image, color: tuple[int, int, int] = (0, 128, 128)) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of everything in a color."""
    y, x = np.nonzero((np.asarray(figure) == color).all(axis=2))
    return int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1


def test_tiles_stand_side_by_side_at_one_height():
    figure = panel([tile(400, 300), tile(200, 150), tile(300, 300)], ["Photo", "Map", "Overlay"], "A title")
    columns = (np.asarray(figure) == (0, 128, 128)).all(axis=2).sum(axis=0)
    assert set(columns) == {0, 300}
    assert (columns > 0).sum() == 400 + 400 + 300
    left, top, right, bottom = spans(figure)
    assert left == figure.width - right
    assert top > 40
    assert figure.height - bottom > 30
    assert figure.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(("size", "height"), [((28, 28), 256), ((300, 400), 400), ((3000, 4000), 640)])
def test_tiles_are_held_to_a_sensible_height(size: tuple[int, int], height: int):
    _, top, _, bottom = spans(panel([tile(*size)] * 2))
    assert bottom - top == height
    _, top, _, bottom = spans(panel([tile(*size)], tile_height=77))
    assert bottom - top == 77


def test_tiny_pictures_keep_their_pixels_as_squares():
    checks = Image.fromarray((np.indices((4, 4)).sum(0) % 2 * 255).astype(np.uint8))
    assert set(np.unique(np.asarray(panel([checks])))) == {0, 255}


def test_wide_strips_are_stacked():
    figure = panel([tile(900, 90)] * 3, ["one", "two", "three"])
    left, _, right, _ = spans(figure)
    assert right - left == 900
    assert (np.asarray(figure)[:, 450] == (0, 128, 128)).all(axis=1).sum() == 270
    assert spans(panel([tile(90_000, 9)] * 2))[2] < 1400
    assert panel([tile(1, 9000)] * 2, [LONG, LONG]).width < 500


def test_captions_make_room_only_where_there_are_some():
    tiles = [tile(300, 300)] * 2
    bare, empty = panel(tiles), panel(tiles, ["", ""])
    assert bare.size == empty.size
    assert panel(tiles, ["short", ""]).height > bare.height
    assert panel(tiles, [LONG, LONG]).height > panel(tiles, ["short", ""]).height
    assert panel(tiles, [LONG * 5, LONG]).size == panel(tiles, [LONG, LONG]).size
    assert panel(tiles, title=LONG * 9).width == bare.width


def test_a_contact_sheet():
    figure = grid([tile(50, 50)] * 7, columns=3, tile=60)
    assert (np.asarray(figure) == (0, 128, 128)).all(axis=2).sum() == 7 * 60 * 60
    assert grid([tile(50, 50)] * 9).width == grid([tile(50, 50)] * 9, 3).width
    labelled = grid(
        [tile(50, 30)] * 6,
        captions=["x"] * 6,
        row_labels=["first", LONG],
        column_labels=["a", "b", LONG],
        title="Sheet",
    )
    assert labelled.width > grid([tile(50, 30)] * 6, 3).width
    assert labelled.height > grid([tile(50, 30)] * 6, 3, ["x"] * 6).height


def test_the_same_figure_is_the_same_bytes():
    figures = [panel([tile(300, 200)], ["σ = 0.15"], "Égal").tobytes() for _ in range(2)]
    assert figures[0] == figures[1]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: panel([]),
        lambda: panel([tile(9, 9)], ["a", "b"]),
        lambda: grid([]),
        lambda: grid([tile(9, 9)], captions=[]),
        lambda: grid([tile(9, 9)], columns=-1),
        lambda: grid([tile(9, 9)], tile=0),
        lambda: grid([tile(9, 9)] * 4, 2, row_labels=["one"]),
        lambda: grid([tile(9, 9)] * 4, 2, column_labels=["one"]),
    ],
)
def test_numbers_that_do_not_match(wrong):
    with pytest.raises(UsageError):
        wrong()


def test_figures_of_plain_and_of_foreign_names_have_one_typeface():
    """A caption looks the same beside another one that needs accents or Greek."""
    one, other = (panel([tile(300, 300)] * 2, ["saliency", words]) for words in ("map", "σ = 2 px, кот"))
    left = (0, 300, one.width // 2, one.height)
    assert one.crop(left).tobytes() == other.crop(left).tobytes()


def test_a_panel_wraps_into_columns():
    wide, wrapped = (panel([tile(90, 90)] * 6, ["a"] * 6, "title", 90, columns=n) for n in (None, 3))
    assert wrapped.width < 0.6 * wide.width
    assert wrapped.height > 1.5 * wide.height
