"""Arithmetic of attribution maps: scaled for display, resized, smoothed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.errors import UsageError
from cnnviz.imaging.gaussian import gaussian_blur_valid
from cnnviz.imaging.pixels import to_array

_EVERY = 51
"""One value in this number is looked at to guess where the largest begin; odd, so that no column is skipped."""


def normalize(map2d: Any, percentile: float = 99.0, signed: bool | None = None) -> NDArray[np.float32]:
    """A map scaled for display: (H, W) in [0, 1], or in [-1, 1] with zero kept at zero if it is signed.

    The value at the percentile of the magnitudes becomes 1 and larger ones are clipped, because the few largest
    values of a gradient would leave the rest dark. Where that value is zero (most of the map is), the largest one
    takes its place; a map that is zero everywhere stays so. NaN and infinities count as zero.

    Args:
        map2d: Tensor or array of the shape (H, W), (1, H, W) or (1, 1, H, W).
        percentile: In (0, 100]; 100 clips nothing.
        signed: False clips negative values to zero; None is True if the map has any.

    Raises UsageError for another shape or percentile.
    """
    if not 0 < percentile <= 100:
        raise UsageError(f"The percentile must be above 0 and at most 100, not {percentile:g}.")
    values = _flat(map2d)
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
        low = values.min()
    if signed is None:
        signed = bool(low < 0)
    if not signed and low < 0:
        values, low = np.maximum(values, 0), values.dtype.type(0)
    top = scale_maximum(np.abs(values) if low < 0 else values, percentile)
    if top == 0:
        return values.astype(np.float32)
    scaled = values / top
    return np.clip(scaled, -1, 1, out=scaled).astype(np.float32, copy=False)


def scale_maximum(magnitude: NDArray[np.floating], percentile: float) -> np.floating:
    """The value at a percentile in (0, 100] of magnitudes of any shape, or the largest where that one is zero."""
    return _percentile(magnitude, percentile) or magnitude.max()


def _percentile(magnitude: NDArray[np.floating], percentile: float) -> np.floating:
    """The same as ``numpy.percentile``, which asks for several order statistics at once and takes ten times as long."""
    place = (magnitude.size - 1) * percentile / 100
    below = int(place)
    largest = _largest(magnitude.ravel(), magnitude.size - below)
    first = len(largest) - (magnitude.size - below)
    ordered = np.partition(largest, first)
    if place == below:
        return ordered[first]  # type: ignore[no-any-return]
    return ordered[first] + (ordered[first + 1 :].min() - ordered[first]) * magnitude.dtype.type(place - below)


def _largest(values: NDArray[np.floating], count: int) -> NDArray[np.floating]:
    """At least the ``count`` largest values, in any order: those above a bound guessed from a sample.

    All values where few are smaller, or the guess is too high.
    """
    sample = values[::_EVERY]
    rank = len(sample) - 2 * count * len(sample) // len(values) - 8
    if rank < len(sample) // 2:
        return values
    found = values[values >= np.partition(sample, rank)[rank]]
    return found if len(found) >= count else values


def _flat(map2d: Any) -> NDArray[np.floating]:
    """The map as (H, W), in its own precision, double or single: a float64 may hold what a float32 cannot."""
    values = to_array(map2d)
    shape = values.shape
    if values.ndim < 2 or values.size == 0 or values.size != shape[-1] * shape[-2]:
        raise UsageError(f"A map must have the shape (H, W), (1, H, W) or (1, 1, H, W), not {tuple(shape)}.")
    return values.reshape(shape[-2:]).astype(np.float64 if values.dtype == np.float64 else np.float32)


def upsample(map2d: Any, size: tuple[int, int]) -> NDArray[np.float32]:
    """A map resized smoothly to ``size`` (height, width) in pixels, within its own least and largest value.

    Bicubic, antialiased where it shrinks; the overshoot beside steep edges is clipped.
    """
    values = _flat(map2d).astype(np.float32)
    height, width = size
    resized = np.array(Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC))
    return np.clip(resized, values.min(), values.max(), out=resized)


def smooth(map2d: Any, sigma: float) -> NDArray[np.float32]:
    """A map blurred by a Gaussian of standard deviation ``sigma``, in the map's own pixels; 0 leaves it as it is.

    For display only: gradients of networks with a strided first layer carry its grid of dots.
    """
    values = _flat(map2d).astype(np.float32)
    if sigma <= 0:
        return values
    radius = int(4 * sigma + 0.5)
    return gaussian_blur_valid(np.pad(values, radius, mode="edge"), sigma, radius)
