"""Maps in color: zero stays zero, and strong values stand out."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz.errors import UsageError
from cnnviz.figures.colormap import DIVERGING, SEQUENTIAL, color_table
from cnnviz.figures.heatmap import colorize, grayscale, overlay


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5), (1, 1, 4, 5)])
def test_shapes_and_kinds(shape: tuple[int, ...]):
    values = torch.rand(shape, requires_grad=True)
    assert (colorize(values) == colorize(values.detach().numpy())).all()
    assert colorize(values).shape == (4, 5, 3)
    assert colorize(values.to(torch.bfloat16)).dtype == np.uint8


@pytest.mark.parametrize("signed", [True, False])
def test_empty_maps_have_one_color(signed: bool):
    assert len(np.unique(colorize(np.zeros((4, 5)), signed=signed).reshape(-1, 3), axis=0)) == 1


def test_colors_of_zero_and_of_the_extremes():
    signed = colorize(np.array([[-1.0, 0.0, 1.0]]), signed=True, percentile=100).astype(int)[0]
    assert signed[0, 2] > signed[0, 0]
    assert signed[1].min() > 235
    assert signed[2, 0] > signed[2, 2]
    plain = colorize(np.array([[0.0, 1.0]]), percentile=100)[0]
    assert plain[0].max() < 10
    assert plain[1].min() > 150
    assert (colorize(np.array([[0.0, 1.0]]), "gray", percentile=100)[0] == [[0] * 3, [255] * 3]).all()


@pytest.mark.parametrize("name", [SEQUENTIAL, DIVERGING])
def test_our_tables_are_matplotlibs(name: str):
    from matplotlib import colormaps

    expected = colormaps[name](np.arange(256))[:, :3] * 255
    assert np.abs(color_table(name) - expected).max() <= 2.5


def test_an_unknown_colormap_names_the_nearest():
    with pytest.raises(UsageError, match=r"'virids'.*viridis"):
        colorize(np.eye(3), "virids")
    with pytest.raises(UsageError, match="RdBu_r"):
        overlay(Image.new("RGB", (3, 3)), np.eye(3), "rdbu_r")
    with pytest.raises(UsageError, match="are some"):
        colorize(np.eye(3), "§")


def test_gray_maps_are_unclipped():
    assert np.asarray(grayscale(np.array([[0.0, 1.0, 2.0]]))).tolist() == [[0, 128, 255]]
    assert np.asarray(grayscale(np.array([[-2.0, 0.0, 2.0]]), signed=True)).tolist() == [[0, 128, 255]]


def test_an_overlay_shows_the_photo_where_the_map_is_weak_and_heat_where_it_is_strong():
    photo = Image.fromarray(np.random.default_rng(0).integers(60, 200, (120, 160, 3), dtype=np.uint8))
    spot = np.zeros((12, 16))
    spot[2:6, 2:6] = 1
    result = np.asarray(overlay(photo, spot)).astype(float)
    assert result.shape == (120, 160, 3)
    gray, shown = np.asarray(photo.convert("L")).astype(float)[70:, 80:], result[70:, 80:].mean(axis=2)
    assert np.corrcoef(gray.ravel(), shown.ravel())[0, 1] > 0.9
    assert result[35:45, 35:45, 0].mean() > result[70:, 80:, 0].mean() + 60


def test_overlay_settings():
    photo = Image.new("L", (40, 30), 128)
    untouched = overlay(photo, np.ones((3, 4)), alpha=0)
    assert untouched.mode == "RGB"
    assert len(np.unique(np.asarray(untouched))) == 1
    signed = np.asarray(overlay(photo, np.array([[-1.0, 1.0]]), signed=True, percentile=100)).astype(int)
    assert signed[15, 2, 2] > signed[15, 2, 0]
    assert signed[15, 37, 0] > signed[15, 37, 2]
    assert (np.asarray(overlay(photo, np.zeros((3, 4)), signed=True)) == np.asarray(untouched)).all()
    with pytest.raises(UsageError, match="Alpha"):
        overlay(photo, np.eye(3), alpha=1.5)
    with pytest.raises(UsageError, match="percentile"):
        overlay(photo, np.eye(3), percentile=0)
