"""Painting photos of any size with a trained network: whole, or in pieces that show no seam."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.errors import ImageError, UsageError
from cnnviz.imaging.checks import require_in_range
from cnnviz.imaging.pixel_ops import resize
from cnnviz.runtime.progress import OnStep, Step
from cnnviz.style.fast import FastStyleNetwork, Statistics, noise_map

WHOLE = 2072 * 2072
"""Pixels up to which a picture, with its margin, is painted whole: some 1.2 GB in the embedded network."""

TILE = 1024
"""Side of the pieces of larger pictures, in pixels."""

_LEAST = 16
_MARGIN = 12
"""Pixels by which a picture is reflected beyond its borders before it is painted. A network sees where a picture ends
and paints there what it saw at the borders of its styles, as a frame; the margin takes it, and is cut off."""

_OVERVIEW = 1024 * 1024
"""Pixels of the small version from which the statistics of a huge picture are taken."""


def apply_fast_style(
    network: FastStyleNetwork,
    pixels: Tensor,
    style: str | Mapping[str, float],
    *,
    tile: int | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Tensor:
    """Paint a photo in one pass, in a style or between several.

    Blending weighs scales and shifts: Dumoulin, Shlens & Kudlur, ICLR 2017, arXiv:1610.07629. A picture beyond
    ``WHOLE`` is painted in overlapping pieces, all normalised by the statistics of one small version of the whole and
    each with the noise of its place; only pixels that saw all they depend on are kept, so there is no seam.

    Args:
        network: trained; see ``load_fast_style``.
        pixels: the photo (1, 3, H, W), RGB in [0, 1], sides of at least 16.
        style: a name, or weights by name, as ``{"starry": 0.7, "ink": 0.3}``.
        tile: side of the pieces a larger picture is painted in; None: 1024, for pictures of more than 4 megapixels.
        seed: of the noise.
        on_step: told after each piece.

    Returns:
        (1, 3, H, W), in [0, 1], on the photo's device.

    Raises:
        UsageError: no such style, a weight that makes no sense, or a tile below 64. ImageError: too small a photo.
    """
    height, width = require_in_range(pixels).shape[2:]
    if min(height, width) < _LEAST:
        raise ImageError(f"A picture of {width}×{height} pixels is too small to paint; both sides need {_LEAST}.")
    if tile is not None and tile < 64:
        raise UsageError(f"Tiles need a side of at least 64 pixels, not {tile}.")
    shares = network.shares(style)
    with torch.inference_mode():
        photo, top, left = _with_margin(pixels)
        noise = noise_map(photo.shape[2], photo.shape[3], seed) if network.config.noise else None
        if max(photo.shape[2:]) <= tile if tile else photo[0, 0].numel() <= WHOLE:
            painted = network(photo.to(network.device), shares, noise).to(pixels)
            _tell(on_step, 1, 1)
        else:
            painted = _in_tiles(network, photo, shares, noise, tile or TILE, on_step)
    return painted[:, :, top : top + height, left : left + width].clone()


def tile_statistics(network: FastStyleNetwork, photo: Tensor, shares: Tensor) -> Statistics:
    """What each normalisation would see of a huge photo (1, 3, H, W), taken from one pass over a small version."""
    height, width = photo.shape[2:]
    factor = min(1.0, math.sqrt(_OVERVIEW / (height * width)))
    size = max(_LEAST, round(height * factor / 4) * 4), max(_LEAST, round(width * factor / 4) * 4)
    small = resize(photo, size)
    statistics = Statistics()
    network(small.to(network.device), shares, None, statistics)
    return statistics


def _in_tiles(
    network: FastStyleNetwork, photo: Tensor, shares: Tensor, noise: Tensor | None, tile: int, on_step: OnStep | None
) -> Tensor:
    statistics = tile_statistics(network, photo, shares)
    painted = torch.empty_like(photo)
    height, width = photo.shape[2:]
    places = [(rows, columns) for rows in _cuts(height, tile) for columns in _cuts(width, tile)]
    margin = -(-network.config.reach // 4) * 4
    for number, (rows, columns) in enumerate(places, start=1):
        (top, bottom), (left, right) = _wider(rows, margin, height), _wider(columns, margin, width)
        piece = photo[:, :, top:bottom, left:right].to(network.device)
        its_noise = None if noise is None else noise[:, :, top:bottom, left:right]
        found = network(piece, shares, its_noise, statistics)
        inner = found[:, :, rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left]
        painted[:, :, rows[0] : rows[1], columns[0] : columns[1]] = inner.to(painted)
        _tell(on_step, number, len(places))
    return painted


def _cuts(length: int, tile: int) -> Iterator[tuple[int, int]]:
    """Pieces of about equal length, at most ``tile``, cut at multiples of 4 as the network's grid asks."""
    count = -(-length // tile)
    step = -(-length // (4 * count)) * 4
    return ((start, min(start + step, length)) for start in range(0, length, step))


def _wider(piece: tuple[int, int], margin: int, length: int) -> tuple[int, int]:
    return max(0, piece[0] - margin), min(length, piece[1] + margin)


def _with_margin(pixels: Tensor) -> tuple[Tensor, int, int]:
    """Pixels reflected beyond their borders until the sides are multiples of 4, and where the picture begins there."""
    (top, bottom), (left, right) = (_margins(side) for side in pixels.shape[2:])
    return F.pad(pixels, (left, right, top, bottom), mode="reflect"), top, left


def _margins(side: int) -> tuple[int, int]:
    """Pixels before and after ``side`` of them, of which reflection has fewer than ``side`` to give."""
    before = min(_MARGIN, side - 4)
    return before, before + -(side + 2 * before) % 4


def _tell(on_step: OnStep | None, step: int, total: int) -> None:
    if on_step:
        on_step(Step(step, total))
