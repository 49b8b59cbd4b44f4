"""3×3 convolutions of stride 1 with fewer multiplications, and their gradients.

Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, arXiv:1509.09308: F(4×4, 3×3), with the
points 0, ±1, ±2 and ∞. For a pair of channels, each 4×4 tile of the output takes 36 multiplications in place of 144.
The three steps are products of matrices. A tile of 6×6 inputs, as a vector of 36, is multiplied by Bᵀ ⊗ Bᵀ; the
channels of each of the 36 values by a matrix of their own, made of the weights; the result by Aᵀ ⊗ Aᵀ, which leaves 16
outputs. The gradient is the same chain, transposed and in reverse, so that it needs no weights of its own.

Results differ from those of the direct convolution by rounding, by about 1e-5 of the largest value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

TILE = 4
"""Side of the output's tiles, in positions."""

_WINDOW = TILE + 2
"""Side of the input that such a tile depends on."""

_TILES_AT_ONCE = 128
"""Tiles that are computed together: more share the reading of the weights, fewer stay in the processor's cache."""

_BLOCK_VALUES = 16384
"""Channels × tiles up to which more are computed together in layers of few channels."""

_INPUT = [
    [4.0, 0.0, -5.0, 0.0, 1.0, 0.0],
    [0.0, -4.0, -4.0, 1.0, 1.0, 0.0],
    [0.0, 4.0, -4.0, -1.0, 1.0, 0.0],
    [0.0, -2.0, -1.0, 2.0, 1.0, 0.0],
    [0.0, 2.0, -1.0, -2.0, 1.0, 0.0],
    [0.0, 4.0, 0.0, -5.0, 0.0, 1.0],
]
"""Bᵀ of the paper."""

_WEIGHTS = [
    [1 / 4, 0.0, 0.0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0.0, 0.0, 1.0],
]
"""G of the paper."""

_OUTPUT = [
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
    [0.0, 1.0, -1.0, 2.0, -2.0, 0.0],
    [0.0, 1.0, 1.0, 4.0, 4.0, 0.0],
    [0.0, 1.0, -1.0, 8.0, -8.0, 1.0],
]
"""Aᵀ of the paper."""


def _on_both_axes(matrix: Sequence[Sequence[float]]) -> Tensor:
    """The matrix that does along rows and columns of a flat square what ``matrix`` does along one axis."""
    one = torch.tensor(matrix, dtype=torch.float32, device="cpu")
    return torch.kron(one, one).contiguous()


with torch.inference_mode(False):  # also where the first import is made inside of it
    _TO_TILES, _FROM_TILES = _on_both_axes(_INPUT), _on_both_axes(_OUTPUT)
    _TO_TILES_T, _FROM_TILES_T = _TO_TILES.t().contiguous(), _FROM_TILES.t().contiguous()


def transform_weights(weight: Tensor) -> Tensor:
    """Weights (O, C, 3, 3) as one matrix for each of the 36 values of a transformed tile, (36, C, O).

    They take four times the memory of the weights.
    """
    outputs, channels = weight.shape[:2]
    g = torch.tensor(_WEIGHTS, dtype=torch.float64, device="cpu")
    both = torch.kron(g, g).to(weight.dtype)
    found = torch.mm(both, weight.permute(2, 3, 1, 0).reshape(9, -1))
    return found.view(_WINDOW**2, channels, outputs)


def winograd_conv2d(
    x: Tensor, matrices: Tensor, bias: Tensor | None, padding: Sequence[int], scale: Tensor | None = None
) -> Tensor:
    """``F.conv2d(x, weight, bias, padding=padding)`` for weights (O, C, 3, 3), given as ``transform_weights`` of them.

    Args:
        x: (N, C, H, W), float32 on the CPU, in any memory format.
        matrices: (36, C, O).
        bias: (O,) or None.
        padding: 0 to 2 rows and columns of zeros on each side.
        scale: (O,), by which the output is multiplied before the bias is added; None for 1.

    Returns:
        (N, O, H', W'), channels last in memory. Not differentiable.
    """
    count, channels, height, width = x.shape
    down, across = padding
    high, wide, outputs = height + 2 * down - 2, width + 2 * across - 2, matrices.shape[2]
    cells = x.permute(0, 2, 3, 1)
    found = torch.empty((count, outputs, high, wide), dtype=x.dtype, memory_format=torch.channels_last)
    places = found.permute(0, 2, 3, 1)
    wide_tiles = _tiles(wide)
    for images, rows in _blocks(count, high, wide, max(channels, outputs)):
        tall, first = rows.stop - rows.start, rows.start * TILE
        part = _padded(cells[images], first - down, tall * TILE + 2, -across, wide_tiles * TILE + 2)
        gathered = _windows(part, _WINDOW, tall, wide_tiles).reshape(_WINDOW**2, -1)
        transformed = torch.mm(_TO_TILES, gathered).view(_WINDOW**2, -1, channels)
        product = torch.bmm(transformed, matrices).view(_WINDOW**2, -1)
        tiles = torch.mm(_FROM_TILES, product).view(TILE, TILE, len(part), tall, wide_tiles, outputs)
        _write(places[images, first : first + tall * TILE], tiles.permute(2, 3, 0, 4, 1, 5), bias, scale)
    return found


def winograd_gradient(gradient: Tensor, matrices: Tensor, padding: Sequence[int]) -> Tensor:
    """The gradient (N, C, H, W) of the input of ``winograd_conv2d``, of its output's ``gradient`` (N, O, H', W').

    ``padding`` is that of the convolution. Not differentiable.
    """
    count, outputs, high, wide = gradient.shape
    down, across = padding
    channels = matrices.shape[1]
    cells = gradient.permute(0, 2, 3, 1)
    wide_tiles = _tiles(wide)
    found = gradient.new_zeros(count, _tiles(high) * TILE + 2, wide_tiles * TILE + 2, channels)
    transposed = matrices.transpose(1, 2)
    for images, rows in _blocks(count, high, wide, max(channels, outputs)):
        tall, first = rows.stop - rows.start, rows.start * TILE
        part = _padded(cells[images], first, tall * TILE, 0, wide_tiles * TILE)
        gathered = _windows(part, TILE, tall, wide_tiles).reshape(TILE**2, -1)
        transformed = torch.mm(_FROM_TILES_T, gathered).view(_WINDOW**2, -1, outputs)
        product = torch.bmm(transformed, transposed).view(_WINDOW**2, -1)
        tiles = torch.mm(_TO_TILES_T, product).view(_WINDOW, _WINDOW, len(part), tall, wide_tiles, channels)
        _add_overlapping(found[images, first : first + tall * TILE + 2], tiles)
    return found[:, down : high + 2 - down, across : wide + 2 - across].permute(0, 3, 1, 2)


def _tiles(length: int) -> int:
    return -(-length // TILE)


def _blocks(count: int, high: int, wide: int, channels: int) -> Iterator[tuple[slice, slice]]:
    """Images, and rows of tiles of an output (``high``, ``wide``), that are computed together."""
    tall, per_row = _tiles(high), _tiles(wide)
    most = max(_TILES_AT_ONCE, _BLOCK_VALUES // channels)
    several = max(1, most // (tall * per_row))
    parts = -(-tall // max(1, most // per_row))
    for image in range(0, count, several):
        for part in range(parts):
            yield slice(image, image + several), slice(tall * part // parts, tall * (part + 1) // parts)


def _padded(cells: Tensor, top: int, high: int, left: int, wide: int) -> Tensor:
    """``high`` rows from ``top`` and ``wide`` columns from ``left`` of (N, H, W, C), with zeros beyond; contiguous."""
    height, width = cells.shape[1:3]
    inside = cells[:, max(0, top) : max(0, min(height, top + high)), max(0, left) : max(0, min(width, left + wide))]
    above, before = max(0, -top), max(0, -left)
    below, after = high - above - inside.shape[1], wide - before - inside.shape[2]
    return F.pad(inside, (0, 0, before, after, above, below)).contiguous()


def _windows(cells: Tensor, side: int, tall: int, wide: int) -> Tensor:
    """A view (side, side, N, tall, wide, C) of contiguous (N, H, W, C): its windows, one for each tile."""
    images, rows, columns, channels = cells.stride()
    return cells.as_strided(
        (side, side, len(cells), tall, wide, cells.shape[3]),
        (rows, columns, images, rows * TILE, columns * TILE, channels),
    )


def _write(place: Tensor, tiles: Tensor, bias: Tensor | None, scale: Tensor | None) -> None:
    """Write ``tiles · scale + bias`` of (N, tall, 4, wide, 4, C) into ``place`` (N, H, W, C), which they may exceed."""
    count, tall, _, wide, _, channels = tiles.shape
    _, high, across, _ = place.shape
    rows, columns = high // TILE, across // TILE
    images, down, right, each = place.stride()
    strides = (images, down * TILE, down, right * TILE, right, each)

    def part(row: int, column: int, size: tuple[int, int, int, int]) -> None:
        at = place.storage_offset() + row * TILE * down + column * TILE * right
        shape = (count, size[0], size[1], size[2], size[3], channels)
        values = tiles[:, row : row + size[0], : size[1], column : column + size[2], : size[3]]
        target = place.as_strided(shape, strides, at)
        if scale is not None:
            torch.addcmul(scale.new_zeros(()) if bias is None else bias, values, scale, out=target)
        elif bias is None:
            target.copy_(values)
        else:
            torch.add(values, bias, out=target)

    for row, size_down in ((0, (rows, TILE)), (rows, (tall - rows, high - rows * TILE))):
        for column, size_across in ((0, (columns, TILE)), (columns, (wide - columns, across - columns * TILE))):
            if min(*size_down, *size_across) > 0:
                part(row, column, (*size_down, *size_across))


def _add_overlapping(place: Tensor, tiles: Tensor) -> None:
    """Add tiles (6, 6, N, tall, wide, C), which overlap by two rows and columns, to ``place`` (N, H, W, C)."""
    images, down, right, each = place.stride()
    strides = (down, right, images, down * TILE, right * TILE, each)
    for rows in (slice(0, TILE), slice(TILE, _WINDOW)):  # tiles do not overlap within each of the four parts
        for columns in (slice(0, TILE), slice(TILE, _WINDOW)):
            values = tiles[rows, columns]
            at = place.storage_offset() + rows.start * down + columns.start * right
            place.as_strided(values.shape, strides, at).add_(values)
