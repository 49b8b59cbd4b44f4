"""The style pictures, small and with fewer marks: the same each time, the right size and colours."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
NAMES = ("starry", "mosaic", "ink")
SIZE = 128


@pytest.fixture(scope="module")
def script():
    """The script with sparser brush strokes and hatching, which are most of its work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tools")
        from painting import ink, starry

        patch.setattr(starry, "BRUSHES", tuple(layer._replace(spacing=4 * layer.spacing) for layer in starry.BRUSHES))
        patch.setattr(ink, "HATCHES", tuple(hatch._replace(spacing=3 * hatch.spacing) for hatch in ink.HATCHES))
        yield importlib.import_module("paint_styles")


@pytest.fixture(scope="module")
def painted(script):
    return {name: script.STYLES[name](SIZE) for name in NAMES}


def test_the_command_paints_the_same_each_time(script, painted, tmp_path):
    script.main(["-o", str(tmp_path), "--size", str(SIZE)])
    for name in NAMES:
        again = tmp_path / "again.jpg"
        script.save(painted[name], again)
        assert (tmp_path / f"{name}.jpg").read_bytes() == again.read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_pictures_have_the_size_asked_for(painted, name):
    assert painted[name].shape == (SIZE, SIZE, 3)
    assert painted[name].dtype == np.uint8


def mean_colour(picture: np.ndarray) -> np.ndarray:
    return picture.reshape(-1, 3).mean(axis=0)


def test_starry_is_blue_with_a_yellow_moon(painted):
    from painting.starry import MOON

    red, green, blue = mean_colour(painted["starry"])
    assert blue > green > red
    row, column = int(MOON.y * SIZE), int(MOON.x * SIZE)
    red, green, blue = mean_colour(painted["starry"][row - 5 : row + 6, column - 5 : column + 6])
    assert min(red, green) > blue


def test_mosaic_is_warm_above_and_cool_below(painted):
    red, _, blue = mean_colour(painted["mosaic"][SIZE // 4 : SIZE // 2, SIZE // 2 : -SIZE // 5])
    assert red > 1.3 * blue
    red, _, blue = mean_colour(painted["mosaic"][-SIZE // 4 : -SIZE // 8, SIZE // 8 : -SIZE // 8])
    assert blue > red


def test_ink_has_few_colours_and_two_tones(painted):
    picture = painted["ink"].astype(int)
    assert (picture.max(axis=-1) - picture.min(axis=-1)).mean() < 40
    grey = picture.mean(axis=-1)
    assert np.percentile(grey, 95) > 200
    assert np.percentile(grey, 3) < 90


@pytest.mark.parametrize("name", NAMES)
def test_shipped_pictures_are_large_and_light(name):
    path = ROOT / "sample_images" / f"{name}.jpg"
    with Image.open(path) as picture:
        assert min(picture.size) >= 512
    assert 100_000 < path.stat().st_size < 420_000
