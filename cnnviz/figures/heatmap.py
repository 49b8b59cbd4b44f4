"""Heatmaps: an attribution map in gray or color, alone or over the photo."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from cnnviz.errors import UsageError
from cnnviz.figures.colormap import DIVERGING, SEQUENTIAL, color_table
from cnnviz.imaging.map_ops import normalize

_MIDDLE = 128  # the entry of a color table that stands for zero in a signed map
_SATURATION, _BRIGHTNESS = 0.35, 0.8  # of the photo under a heatmap, so that the heat's colors stand out


def grayscale(map2d: Any, signed: bool = False) -> Image.Image:
    """A map in gray at its own resolution, unclipped: zero is black and the largest value white.

    If signed, zero is mid-gray, and the largest magnitude black or white.
    """
    return Image.fromarray(_levels(map2d, signed, percentile=100.0))


def colorize(
    map2d: Any, colormap: str | None = None, signed: bool = False, percentile: float = 99.0
) -> NDArray[np.uint8]:
    """A map in color: (H, W, 3) uint8, RGB.

    Args:
        map2d: Tensor or array of the shape (H, W), (1, H, W) or (1, 1, H, W).
        colormap: The name of one of matplotlib's; None takes ``inferno``, or ``RdBu_r`` for signed maps.
        signed: Whether zero is in the middle of the colors (True) or at their start.
        percentile: Where the colors end; see ``normalize``.

    Raises UsageError for an unknown colormap (with the nearest names) or another shape.
    """
    table = color_table(colormap or (DIVERGING if signed else SEQUENTIAL))
    return np.asarray(_tinted(Image.fromarray(_levels(map2d, signed, percentile)), table))


def _tinted(levels: Image.Image, table: NDArray[np.uint8]) -> Image.Image:
    """Entries of a color table as its colors; Pillow's palettes are several times as fast as numpy's indexing."""
    tinted = levels.convert("P")
    tinted.putpalette(table.tobytes())
    return tinted.convert("RGB")


def _levels(map2d: Any, signed: bool, percentile: float) -> NDArray[np.uint8]:
    """The map as entries of a color table, 0..255; zero is entry 0, or the middle one if signed."""
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
    colors, and where the map is near zero the photo is seen as it is.

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
    """For each entry of the color table, how much it covers the photo, 0..255."""
    levels = np.arange(256)
    strength = np.minimum(abs(levels - _MIDDLE) / 127, 1) if signed else levels / 255
    return [int(value) for value in np.rint(255 * alpha * strength)]


def _desaturate(photo: Image.Image) -> Image.Image:
    pale = ImageEnhance.Color(photo.convert("RGB")).enhance(_SATURATION)
    return ImageEnhance.Brightness(pale).enhance(_BRIGHTNESS)
