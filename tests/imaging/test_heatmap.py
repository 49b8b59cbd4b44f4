"""Maps in colours: zero stays zero, the strong places stand out, and nothing divides by zero."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz.errors import UsageError
from cnnviz.imaging.colormap import DIVERGING, SEQUENTIAL, color_table
from cnnviz.imaging.heatmap import colorize, grayscale, normalize, overlay, smooth, upsample


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_the_percentile_becomes_one():
    ramp = np.linspace(0, 200, 201).reshape(1, 1, 3, 67)
    assert normalize(ramp, 50).max() == 1
    assert normalize(ramp, 50)[1, 33] == pytest.approx(1)
    assert normalize(ramp, 100)[1, 33] == pytest.approx(0.5)
    assert normalize(ramp).dtype == np.float32


def test_signed_maps_keep_their_zero():
    values = np.array([[-4.0, -2.0, 0.0, 1.0]])
    assert normalize(values, 100).tolist() == [[-1, -0.5, 0, 0.25]]
    assert normalize(values, 100, signed=False).tolist() == [[0, 0, 0, 1]]


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1, 1e30, 1e300])
def test_any_scale_will_do(scale: float):
    assert normalize(np.array([[0.0, 0.5, 1.0]]) * scale, 100).tolist() == [[0, 0.5, 1]]


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("signed", [True, False, None])
def test_empty_maps_are_zero(value: float, signed: bool | None):
    flat = np.full((4, 5), value)
    assert (normalize(flat, signed=signed) == 0).all()
    assert len(np.unique(colorize(flat, signed=bool(signed)).reshape(-1, 3), axis=0)) == 1


def test_constant_and_sparse_maps():
    assert (normalize(np.full((4, 5), 3.0)) == 1).all()
    sparse = np.zeros((50, 50))
    sparse[7, 7] = 0.2
    assert normalize(sparse)[7, 7] == 1
    holes = np.array([[np.nan, 1.0, np.inf]])
    assert normalize(holes, 100).tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5), (1, 1, 4, 5)])
def test_shapes_and_kinds(shape: tuple[int, ...]):
    values = torch.rand(shape, requires_grad=True)
    assert (colorize(values) == colorize(values.detach().numpy())).all()
    assert colorize(values).shape == (4, 5, 3)
    assert colorize(values.to(torch.bfloat16)).dtype == np.uint8


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 1, 4, 5), (5,), (0, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]):
    with pytest.raises(UsageError, match="shape"):
        normalize(np.zeros(shape))


def test_colours_of_zero_and_of_the_extremes():
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


def test_upsampling_stays_within_the_map():
    edge = np.zeros((8, 8), np.float32)
    edge[:, 4:] = 1
    large = upsample(edge, (100, 60))
    assert large.shape == (100, 60)
    assert large.min() == 0
    assert large.max() == 1
    assert np.abs(upsample(large, (8, 8)) - edge).mean() < 0.1


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 2.7, 20.0])
def test_smoothing_is_a_gaussian(sigma: float):
    ndimage = pytest.importorskip("scipy.ndimage")
    values = np.random.default_rng(0).normal(size=(1, 1, 23, 31)).astype(np.float32)
    expected = ndimage.gaussian_filter(values[0, 0], sigma, mode="nearest")
    assert np.abs(smooth(values, sigma) - expected).max() < 1e-5
    assert (smooth(values, 0) == values[0, 0]).all()


def test_grey_maps_are_unclipped():
    assert np.asarray(grayscale(np.array([[0.0, 1.0, 2.0]]))).tolist() == [[0, 128, 255]]
    assert np.asarray(grayscale(np.array([[-2.0, 0.0, 2.0]]), signed=True)).tolist() == [[0, 128, 255]]


def test_an_overlay_shows_the_photo_where_the_map_is_weak_and_heat_where_it_is_strong():
    photo = Image.fromarray(np.random.default_rng(0).integers(60, 200, (120, 160, 3), dtype=np.uint8))
    spot = np.zeros((12, 16))
    spot[2:6, 2:6] = 1
    result = np.asarray(overlay(photo, spot)).astype(float)
    assert result.shape == (120, 160, 3)
    grey, shown = np.asarray(photo.convert("L")).astype(float)[70:, 80:], result[70:, 80:].mean(axis=2)
    assert np.corrcoef(grey.ravel(), shown.ravel())[0, 1] > 0.9
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
