"""Products of feature maps over positions and over channels: the cost of a Gram matrix and its gradient.

On a CPU both are done as convolutions with kernels of one pixel. oneDNN, which computes convolutions, runs them at
the rate of a convolution, twice as fast as the matrix library does products of tall matrices, on AMD's processors
above all; and bfloat16 products that begin with a transposition four times as fast.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_weight

_SLICES = 2
"""Parts of the positions that are summed in bfloat16's own products, which round each part's sum."""

_TO_ONEDNN = (2, 2)
"""A dilation, which has no effect on a kernel of one pixel: torch gives undilated ones to the matrix library."""


def gram(one: Tensor, other: Tensor) -> Tensor:
    """``G_ij = sum_p one_ip other_jp`` of maps (N, C, H, W), summed over positions: (N, C, C), in float32 at least.

    Maps in bfloat16 are multiplied in it, which sums in float32 and rounds in the end: over some slices of the
    positions, so that the rounding errors are independent.
    """
    if one.dtype != torch.bfloat16:
        return _gram(one, other)
    total = one.new_zeros(one.shape[0], one.shape[1], other.shape[1], dtype=torch.float32)
    for a, b in zip(one.chunk(_SLICES, 2), other.chunk(_SLICES, 2), strict=True):
        total += _gram(a, b)
    return total


def spatial_sum(maps: Tensor) -> Tensor:
    """Maps (N, C, H, W) summed over positions: (N, C), in float32 at least.

    A slice at a time, for torch copies what it sums in another type.
    """
    if maps.dtype != torch.bfloat16:
        return maps.sum((2, 3))
    total = maps.new_zeros(maps.shape[:2], dtype=torch.float32)
    for part in maps.chunk(_SLICES, 2):
        total += part.sum((2, 3), dtype=torch.float32)
    return total


def apply_channel_matrix(maps: Tensor, matrices: Tensor, shift: Tensor) -> Tensor:
    """``M x_p + s`` at each position p of maps (N, C, H, W): matrices (N, D, C) and shift (N, D) -> (N, D, H, W)."""
    matrices, shift = matrices.to(maps), shift.to(maps)
    if _is_for_onednn(maps):
        return F.conv2d(maps, matrices[0, :, :, None, None], shift[0], dilation=_TO_ONEDNN)
    product = torch.baddbmm(shift[:, None], _rows(maps), matrices.transpose(1, 2))
    return product.unflatten(1, maps.shape[2:]).permute(0, 3, 1, 2)


def _gram(one: Tensor, other: Tensor) -> Tensor:
    if not _is_for_onednn(one):
        return _rows(one).transpose(1, 2) @ _rows(other)
    shape = (one.shape[1], other.shape[1], 1, 1)  # the gradient of a kernel of one pixel is that product
    return conv2d_weight(other, shape, one, dilation=_TO_ONEDNN).flatten(1)[None]


def _is_for_onednn(maps: Tensor) -> bool:
    """One image's maps on a CPU, in a type that oneDNN has; a narrow tile may have no position of a deep layer."""
    is_known = maps.dtype in (torch.float32, torch.bfloat16)
    return maps.device.type == "cpu" and maps.shape[0] == 1 and is_known and maps.numel() > 0


def _rows(maps: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, positions, C); no copy in channels_last."""
    return maps.permute(0, 2, 3, 1).flatten(1, 2)
