"""Heatmaps: an attribution map in gray or color, alone or over the photo."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from cnnviz.errors import UsageError
from cnnviz.figures.colormap import DIVERGING, SEQUENTIAL, color_table
from cnnviz.imaging.bands import show, shown_channels
from cnnviz.imaging.checks import require_in_range
from cnnviz.imaging.map_ops import normalize, smooth
from cnnviz.imaging.pixels import from_pixels, to_array

if TYPE_CHECKING:
    from torch import Tensor

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
    return np.asarray(heat_image(map2d, colormap, signed, percentile))


def heat_image(map2d: Any, colormap: str | None = None, signed: bool = False, percentile: float = 99.0) -> Image.Image:
    """A map in color as a PIL image."""
    table = color_table(colormap or (DIVERGING if signed else SEQUENTIAL))
    return _tinted(Image.fromarray(_levels(map2d, signed, percentile)), table)


def _tinted(levels: Image.Image, table: NDArray[np.uint8]) -> Image.Image:
    """Entries of a color table as its colors; Pillow's palettes are several times as fast as numpy's indexing."""
    tinted = levels.convert("P")
    tinted.putpalette(table.tobytes())
    return tinted.convert("RGB")


def _levels(map2d: Any, signed: bool, percentile: float) -> NDArray[np.uint8]:
    """The map as entries of a color table, 0..255; zero is entry 0, or the middle one if signed."""
    scaled = normalize(map2d, percentile, signed)
    if signed:
        scaled += 1
    scaled *= 127.5 if signed else 255
    return np.rint(scaled, out=scaled).astype(np.uint8)


def overlay(
    photo: Image.Image | Tensor,
    map2d: Any,
    colormap: str | None = None,
    signed: bool = False,
    *,
    percentile: float = 99.0,
    alpha: float = 0.8,
    blur: float = 0.0,
    show_channels: str | Sequence[int] | None = None,
) -> Image.Image:
    """The photo with a map's heat on it, at the photo's own size, as a PIL image.

    The heat is as opaque as the map is strong, over a paler and darker photo: strong places glow in the map's
    colors, and where the map is near zero the photo is seen as it is.

    Args:
        photo: Pixels (1, C, H, W) in [0, 1], or a PIL image of any mode; the result is RGB.
        map2d: (1, 1, H, W), (1, H, W) or (H, W), of any resolution: it is stretched over the whole photo. Of several
            channels (1, C, H, W) the largest magnitude is shown, or their sum if signed.
        colormap: The name of one of matplotlib's; None takes ``inferno``, or ``RdBu_r`` for signed maps.
        signed: Whether both signs of the map are shown, on a diverging scale; False clips negative values to zero.
        percentile: Magnitudes above this percentile, in (0, 100], are clipped. The command line takes 100 for coarse
            maps, as Grad-CAM's.
        alpha: How much of the heat is seen where the map is strongest, in [0, 1].
        blur: Standard deviation, in the map's pixels, of a Gaussian that smooths the map. The command line takes 2 for
            gradients, whose dots are lost on a photo.
        show_channels: Which channels are shown of pixels of other than one or three, counted from 1: ``(3, 2, 1)``,
            ``(4,)`` or ``"mean"``; None takes the first three, of two the mean.

    Raises UsageError for an alpha out of range, an unknown colormap, pixels outside [0, 1], or other shapes.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.overlay(pixels, cnnviz.saliency(network, pixels, "tabby"), blur=2).size
        (96, 64)
    """
    if not 0 <= alpha <= 1:
        raise UsageError(f"Alpha must be between 0 and 1, not {alpha:g}.")
    table = color_table(colormap or (DIVERGING if signed else SEQUENTIAL))
    photo = photo if isinstance(photo, Image.Image) else _shown(photo, show_channels)
    values = _one_channel(map2d, signed)
    values = smooth(values, blur) if blur > 0 else values
    levels = Image.fromarray(_levels(values, signed, percentile)).resize(photo.size, Image.Resampling.BICUBIC)
    mask = levels.point(_opacity(signed, alpha))
    return Image.composite(_tinted(levels, table), _desaturate(photo), mask)


def _shown(pixels: Any, channels: str | Sequence[int] | None) -> Image.Image:
    """Pixels (1, C, H, W) as a photo; UsageError for anything else."""
    count = pixels.shape[1] if getattr(pixels, "ndim", 0) == 4 else 3
    pixels = require_in_range(pixels, count)
    if len(pixels) != 1:
        raise UsageError(f"One image is shown at a time, pixels of the shape (1, C, H, W), not {len(pixels)} images.")
    return show(from_pixels(pixels), shown_channels(channels) if count not in (1, 3) else None).image


def _one_channel(attribution: Any, signed: bool) -> NDArray[Any]:
    """The map of an attribution, (1, 1, H, W) or (H, W), of one (1, C, H, W) or (C, H, W) with channels."""
    values = to_array(attribution)
    if values.ndim < 3 or values.shape[-3] == 1:
        return values
    return values.sum(-3, keepdims=True) if signed else np.abs(values).max(-3, keepdims=True)


def _opacity(signed: bool, alpha: float) -> list[int]:
    """For each entry of the color table, how much it covers the photo, 0..255."""
    levels = np.arange(256)
    strength = np.minimum(abs(levels - _MIDDLE) / 127, 1) if signed else levels / 255
    return [int(value) for value in np.rint(255 * alpha * strength)]


def _desaturate(photo: Image.Image) -> Image.Image:
    pale = ImageEnhance.Color(photo if photo.mode == "RGB" else photo.convert("RGB")).enhance(_SATURATION)
    return pale.point(_darker() * 3)


@cache
def _darker() -> list[int]:
    """Each of the levels 0..255 at the brightness under a heatmap, as ``ImageEnhance.Brightness`` makes it."""
    levels = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    return list(ImageEnhance.Brightness(levels).enhance(_BRIGHTNESS).tobytes())
