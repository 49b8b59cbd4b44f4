"""Arithmetic of maps: zero stays zero, and nothing divides by zero."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from cnnviz.errors import UsageError
from cnnviz.imaging.map_ops import normalize, scale_maximum, smooth, upsample


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


def test_constant_and_sparse_maps():
    assert (normalize(np.full((4, 5), 3.0)) == 1).all()
    sparse = np.zeros((50, 50))
    sparse[7, 7] = 0.2
    assert normalize(sparse)[7, 7] == 1
    holes = np.array([[np.nan, 1.0, np.inf]])
    assert normalize(holes, 100).tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 1, 4, 5), (5,), (0, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]):
    with pytest.raises(UsageError, match="shape"):
        normalize(np.zeros(shape))


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


@pytest.mark.parametrize("kind", ["even", "striped", "sparse", "constant", "rounded"])
@pytest.mark.parametrize("percentile", [99.0, 99.97, 60.0, 3.0, 100.0])
def test_the_percentile_is_numpys_whatever_the_values(kind: str, percentile: float):
    values = np.random.default_rng(0).standard_normal((153, 204)).astype(np.float32)
    values = {
        "even": values,
        "striped": np.where(np.arange(204) % 51 == 0, 100 + values, values),  # what a sample in steps would see
        "sparse": np.where(values > 3, values, 0).astype(np.float32),
        "constant": np.full_like(values, 0.3),
        "rounded": values.round(),
    }[kind]
    magnitude = np.abs(values)
    expected = np.percentile(magnitude, percentile, method="linear") or magnitude.max()
    assert scale_maximum(magnitude, percentile) == pytest.approx(expected, rel=1e-6)
