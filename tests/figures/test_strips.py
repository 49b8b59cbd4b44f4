"""Strips and sheets of what a long job has finished and, last, what it has begun."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from cnnviz.figures import inversion, style, texture
from cnnviz.figures.inversion import inversion_strip
from cnnviz.figures.style import sweep_sheet
from cnnviz.figures.texture import texture_strip
from cnnviz.figures.visualization import image_or_grid, visualization_sheet

TILE = Image.new("RGB", (100, 100), "teal")


@pytest.fixture
def captions(monkeypatch):
    """The captions of each figure drawn."""
    seen = []

    def watched(draw):
        def drawn(tiles, *arguments, **named):
            texts = named.get("captions") or next(a for a in arguments if isinstance(a, list))
            assert len(texts) == len(tiles)
            seen.append(texts)
            return draw(tiles, *arguments, **named)

        return drawn

    for module, name in ((inversion, "panel"), (texture, "panel"), (style, "grid")):
        monkeypatch.setattr(module, name, watched(getattr(module, name)))
    return seen


def test_an_inversion_without_an_error_is_unfinished(captions):
    layers = ["fire2", "fire4", "fire9"]
    inversion_strip(TILE, [TILE, TILE], layers, [0.0123], "title")
    inversion_strip(TILE, [TILE], layers, [0.0123], "title")
    assert captions == [["photo", "fire2: error 1.23 %", "fire4: unfinished"], ["photo", "fire2: error 1.23 %"]]


def test_a_texture_strip_names_the_layers_so_far(captions):
    layers = ["relu1", "fire3"]
    strip = texture_strip(TILE, [TILE, TILE], layers, 100, is_unfinished=True)
    texture_strip(TILE, [], layers, 100)
    assert captions == [["sample", "up to relu1", "up to fire3: unfinished"], ["sample"]]
    assert strip.width > 3 * 100


def test_a_sweep_has_rows_of_four(captions):
    values = (0.1, 1.0, 10.0, 100.0, 1000.0)
    part, whole = sweep_sheet([TILE] * 2, "steps", values, is_unfinished=True), sweep_sheet([TILE] * 5, "steps", values)
    assert captions[0] == ["steps 0.1", "steps 1: unfinished"]
    assert captions[1] == ["steps 0.1", "steps 1", "steps 10", "steps 100", "steps 1000"]
    assert whole.height > 2 * 100 > part.height - 100
    assert 5 * 100 > whole.width > 4 * 100


def test_one_image_stands_alone_and_several_on_a_grid():
    pixels = torch.full((3, 3, 40, 40), 0.5)
    assert image_or_grid(pixels[:1]).size == (40, 40)
    assert min(image_or_grid(pixels).size) > 2 * 40
    assert visualization_sheet(pixels[:1], ["caption"], "title").height > 256
    assert visualization_sheet(pixels, ["a", "b", "c"], "title").height > 2 * 40
