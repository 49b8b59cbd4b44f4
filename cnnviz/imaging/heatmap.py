"""Heatmaps: from a map of numbers to colours, alone or laid over the photo they belong to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from cnnviz.errors import UsageError
from cnnviz.imaging.colormap import DIVERGING, SEQUENTIAL, color_table
from cnnviz.imaging.gaussian import gaussian_blur_valid
from cnnviz.imaging.pixels import to_array

_MIDDLE = 128  # the entry of a colour table that stands for zero in a signed map
_SATURATION, _BRIGHTNESS = 0.35, 0.8  # of the photo under a heatmap, so that the heat's colours stand out


def normalize(map2d: Any, percentile: float = 99.0, signed: bool | None = None) -> NDArray[np.float32]:
    """A map scaled for display: (H, W) in [0, 1], or in [-1, 1] with zero kept at zero if it is signed.

    The value at the percentile of the magnitudes becomes 1 and what is above is clipped, for the few largest
    values of a gradient would leave the rest in the dark. Where that value is zero (most of the map is), the
    largest one takes its place; a map that is zero everywhere stays so. NaN and infinities count as zero.

    Args:
        map2d: Tensor or array of the shape (H, W), (1, H, W) or (1, 1, H, W).
        percentile: In (0, 100]; 100 clips nothing.
        signed: False takes negative values as zero; None asks the map whether it has any.

    Raises UsageError for another shape or percentile.
    """
    if not 0 < percentile <= 100:
        raise UsageError(f"The percentile must be above 0 and at most 100, not {percentile:g}.")
    values = np.nan_to_num(_flat(map2d), posinf=0.0, neginf=0.0)
    if signed is None:
        signed = bool((values < 0).any())
    if not signed:
        values = np.maximum(values, 0)
    magnitude = np.abs(values)
    top = scale_maximum(magnitude, percentile)
    if top == 0:
        return values.astype(np.float32)
    return np.clip(values / top, -1, 1).astype(np.float32)


def scale_maximum(magnitude: NDArray[np.floating], percentile: float) -> np.floating:
    """The value at a percentile in (0, 100] of magnitudes of any shape, or the largest where that one is zero."""
    return _percentile(magnitude, percentile) or magnitude.max()


def _percentile(magnitude: NDArray[np.floating], percentile: float) -> np.floating:
    """The same as ``numpy.percentile``, which asks for several order statistics at once and takes ten times as long."""
    place = (magnitude.size - 1) * percentile / 100
    below = int(place)
    ordered = np.partition(magnitude.ravel(), below)
    if place == below:
        return ordered[below]  # type: ignore[no-any-return]
    return ordered[below] + (ordered[below + 1 :].min() - ordered[below]) * magnitude.dtype.type(place - below)


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
    resized = Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(resized), values.min(), values.max())


def smooth(map2d: Any, sigma: float) -> NDArray[np.float32]:
    """A map blurred by a Gaussian of deviation ``sigma``, in the map's own pixels; 0 leaves it as it is.

    For looking only: gradients of networks with a strided first layer carry its grid of dots.
    """
    values = _flat(map2d).astype(np.float32)
    if sigma <= 0:
        return values
    radius = int(4 * sigma + 0.5)
    return gaussian_blur_valid(np.pad(values, radius, mode="edge"), sigma, radius)


def grayscale(map2d: Any, signed: bool = False) -> Image.Image:
    """A map in grey at its own resolution, unclipped: zero is black and the largest value white.

    If signed, zero is mid-grey, and the largest magnitude black or white.
    """
    return Image.fromarray(_levels(map2d, signed, percentile=100.0))


def colorize(
    map2d: Any, colormap: str | None = None, signed: bool = False, percentile: float = 99.0
) -> NDArray[np.uint8]:
    """A map in colours: (H, W, 3) uint8, RGB.

    Args:
        map2d: Tensor or array of the shape (H, W), (1, H, W) or (1, 1, H, W).
        colormap: The name of one of matplotlib's; None takes ``inferno``, or ``RdBu_r`` for signed maps.
        signed: Whether zero is in the middle of the colours (True) or at their start.
        percentile: Where the colours end; see ``normalize``.

    Raises UsageError for an unknown colormap (with the nearest names) or another shape.
    """
    table = color_table(colormap or (DIVERGING if signed else SEQUENTIAL))
    return np.asarray(_tinted(Image.fromarray(_levels(map2d, signed, percentile)), table))


def _tinted(levels: Image.Image, table: NDArray[np.uint8]) -> Image.Image:
    """Entries of a colour table as its colours; Pillow's palettes are several times as fast as numpy's indexing."""
    tinted = levels.convert("P")
    tinted.putpalette(table.tobytes())
    return tinted.convert("RGB")


def _levels(map2d: Any, signed: bool, percentile: float) -> NDArray[np.uint8]:
    """The map as entries of a colour table, 0..255; zero is entry 0, or the middle one if signed."""
    scaled = normalize(map2d, percentile, signed)
    return np.rint((scaled + 1) * 127.5 if signed else scaled * 255).astype(np.uint8)


def overlay(
    photo: Image.Image,
    map2d: Any,
    colormap: str | None = None,
    signed: bool = False,
    *,
    percentile: float = 99.0,
    alpha: float = 0.8,
) -> Image.Image:
    """The photo with the map's heat on it, at the photo's own size.

    The heat is as opaque as the map is strong, over a paler and darker photo: strong places glow in the map's
    colours, and where the map is near zero the photo is seen as it is.

    Args:
        photo: Any mode; the result is RGB.
        map2d: Of any resolution; it is stretched over the whole photo.
        colormap, signed, percentile: As in ``colorize``.
        alpha: How much of the heat is seen where the map is strongest, in [0, 1].

    Raises UsageError for an alpha out of range, an unknown colormap or a map of another shape.
    """
    if not 0 <= alpha <= 1:
        raise UsageError(f"Alpha must be between 0 and 1, not {alpha:g}.")
    table = color_table(colormap or (DIVERGING if signed else SEQUENTIAL))
    levels = Image.fromarray(_levels(map2d, signed, percentile)).resize(photo.size, Image.Resampling.BICUBIC)
    mask = levels.point(_opacity(signed, alpha))
    return Image.composite(_tinted(levels, table), _desaturate(photo), mask)


def _opacity(signed: bool, alpha: float) -> list[int]:
    """For each entry of the colour table, how much it covers the photo, 0..255."""
    levels = np.arange(256)
    strength = np.minimum(abs(levels - _MIDDLE) / 127, 1) if signed else levels / 255
    return [int(value) for value in np.rint(255 * alpha * strength)]


def _desaturate(photo: Image.Image) -> Image.Image:
    pale = ImageEnhance.Color(photo.convert("RGB")).enhance(_SATURATION)
    return ImageEnhance.Brightness(pale).enhance(_BRIGHTNESS)
