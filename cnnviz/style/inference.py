"""Fast style transfer of images of any size: whole, or in tiles without seams."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.errors import ImageError, UsageError
from cnnviz.imaging.checks import require_in_range
from cnnviz.imaging.pixel_ops import resize
from cnnviz.runtime.cancellation import check_cancelled
from cnnviz.runtime.progress import OnStep, Step
from cnnviz.style.fast import FastStyleNetwork, NormStatistics, noise_map

LARGEST_WHOLE = 2072 * 2072
"""Pixels up to which an image, with its margin, is rendered whole: some 1.2 GB with the built-in styles."""

TILE = 1024
"""Side of the tiles of larger images, in pixels."""

OVERVIEW = 1024 * 1024
"""Pixels of the reduced version from which the statistics of a large image are taken."""

_LEAST = 16


def apply_fast_style(
    network: FastStyleNetwork,
    pixels: Tensor,
    style: str | Mapping[str, float],
    *,
    tile: int | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Tensor:
    """The image in a style, or in a blend of several, in one forward pass.

    Blending averages scales and shifts: Dumoulin, Shlens & Kudlur, "A Learned Representation for Artistic Style", ICLR
    2017, arXiv:1610.07629. An image of more than ``LARGEST_WHOLE`` pixels is rendered in overlapping tiles, all
    normalized by the statistics of a reduced version of the whole and each with the noise of its position; only
    pixels whose whole receptive field was in the tile are kept, so that there is no seam.

    Args:
        network: a trained network; see ``load_fast_style``.
        pixels: the photo (1, 3, H, W), RGB in [0, 1], both sides at least 16.
        style: a name, or weights by name, as ``{"starry": 0.7, "ink": 0.3}``.
        tile: side of the tiles, which larger images are rendered in; None: 1024, beyond 4 megapixels.
        seed: of the noise.
        on_step: called after each tile.

    Returns:
        Pixels (1, 3, H, W), in [0, 1], on the photo's device.

    Raises:
        UsageError: no such style, a negative weight, or a tile below 64.
        ImageError: the photo is too small.

    Example:
        >>> model = cnnviz.load_fast_style()
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.apply_fast_style(model, pixels, {"starry": 0.7, "ink": 0.3}).shape
        torch.Size([1, 3, 64, 96])
    """
    height, width = require_in_range(pixels).shape[2:]
    if min(height, width) < _LEAST:
        raise ImageError(f"An image of {width}×{height} pixels is too small; both sides need {_LEAST}.")
    if tile is not None and tile < 64:
        raise UsageError(f"Tiles need a side of at least 64 pixels, not {tile}.")
    weights = network.style_weights(style)
    with torch.inference_mode():
        photo, top, left = _with_margin(pixels, network.config.margin)
        noise = noise_map(photo.shape[2], photo.shape[3], seed) if network.config.noise else None
        if max(photo.shape[2:]) <= tile if tile else photo[0, 0].numel() <= LARGEST_WHOLE:
            image = network(photo.to(network.device), weights, noise).to(pixels)
            _report(on_step, 1, 1)
        else:
            image = _in_tiles(network, photo, weights, noise, tile or TILE, on_step)
    return image[:, :, top : top + height, left : left + width].clone()


def tile_statistics(network: FastStyleNetwork, photo: Tensor, weights: Tensor) -> NormStatistics:
    """The normalization statistics of a large photo (1, 3, H, W), from one pass over a reduced version."""
    height, width = photo.shape[2:]
    factor = min(1.0, math.sqrt(OVERVIEW / (height * width)))
    size = max(_LEAST, round(height * factor / 4) * 4), max(_LEAST, round(width * factor / 4) * 4)
    statistics = NormStatistics()
    network(resize(photo, size).to(network.device), weights, None, statistics)
    return statistics


def _in_tiles(
    network: FastStyleNetwork, photo: Tensor, weights: Tensor, noise: Tensor | None, side: int, on_step: OnStep | None
) -> Tensor:
    statistics = tile_statistics(network, photo, weights)
    image = torch.empty_like(photo)
    height, width = photo.shape[2:]
    tiles = [(rows, columns) for rows in _spans(height, side) for columns in _spans(width, side)]
    halo = -(-network.config.reach // 4) * 4
    for number, (rows, columns) in enumerate(tiles, start=1):
        check_cancelled()
        (top, bottom), (left, right) = _widened(rows, halo, height), _widened(columns, halo, width)
        window = photo[:, :, top:bottom, left:right].to(network.device)
        window_noise = None if noise is None else noise[:, :, top:bottom, left:right]
        output = network(window, weights, window_noise, statistics)
        inner = output[:, :, rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left]
        image[:, :, rows[0] : rows[1], columns[0] : columns[1]] = inner.to(image)
        _report(on_step, number, len(tiles))
    return image


def _spans(length: int, side: int) -> Iterator[tuple[int, int]]:
    """Tiles of about equal length along one axis, at most ``side``, divided at multiples of 4, the network's stride."""
    count = -(-length // side)
    step = -(-length // (4 * count)) * 4
    return ((start, min(start + step, length)) for start in range(0, length, step))


def _widened(span: tuple[int, int], halo: int, length: int) -> tuple[int, int]:
    return max(0, span[0] - halo), min(length, span[1] + halo)


def _with_margin(pixels: Tensor, margin: int) -> tuple[Tensor, int, int]:
    """Pixels padded by reflection until the sides are multiples of 4, and where (top, left) the image begins.

    A network sees where an image ends and paints there what it saw at the borders of its styles, as a frame.
    """
    (top, bottom), (left, right) = (_margins(side, margin) for side in pixels.shape[2:])
    return F.pad(pixels, (left, right, top, bottom), mode="reflect"), top, left


def _margins(side: int, margin: int) -> tuple[int, int]:
    """Padding before and after ``side`` pixels; reflection allows fewer than ``side``."""
    before = min(margin, side - 4)
    return before, before + -(side + 2 * before) % 4


def _report(on_step: OnStep | None, step: int, total: int) -> None:
    if on_step:
        on_step(Step(step, total))
