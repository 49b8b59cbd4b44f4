"""The gradient of an objective over an image larger than memory, one tile at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from cnnviz.runtime.precision import gradients_of
from cnnviz.synthesis.transforms import roll

Value = Callable[[Tensor], Tensor]
"""Pixels (1, 3, H, W) -> a scalar."""


def untiled(pixels: Tensor, objective: Value) -> Tensor:
    """The objective of the whole image, a scalar."""
    return objective(pixels)


@dataclass
class TiledGradient:
    """The objective as the mean over tiles of at most ``side`` pixels, each weighted by its area.

    The gradient of each tile is computed and added at once, so that only one tile's activations are in memory. Tile
    borders are drawn at random for each call, and tiles wrap around the image's borders, so that no seam is visible.
    """

    side: int
    generator: torch.Generator

    def __call__(self, pixels: Tensor, objective: Value) -> Tensor:
        """A scalar whose gradient with respect to ``pixels`` (1, 3, H, W) is that of the mean."""
        rows, columns = (_spans(length, self.side) for length in pixels.shape[2:])
        down, right = (int(torch.randint(spans[0].stop, (1,), generator=self.generator)) for spans in (rows, columns))
        tiles = [(row, column) for row in rows for column in columns]
        return _TiledMean.apply(roll(pixels, (down, right)), objective, tiles)


def _spans(length: int, side: int) -> list[slice]:
    """The fewest spans of nearly one length, at most ``side``, that cover ``length``."""
    count = math.ceil(length / side)
    return [slice(a, b) for a, b in pairwise(round(length * k / count) for k in range(count + 1))]


class _TiledMean(torch.autograd.Function):
    """The mean of an objective over tiles, its gradient computed in the forward pass, tile by tile."""

    @staticmethod
    def forward(ctx, pixels, objective, tiles):  # type: ignore[no-untyped-def]
        gradient = torch.zeros_like(pixels)
        total = pixels.new_zeros(())
        area = pixels.shape[2] * pixels.shape[3]
        for rows, columns in tiles:
            tile = pixels[..., rows, columns].detach().requires_grad_()
            fraction = tile.shape[2] * tile.shape[3] / area
            with torch.enable_grad():
                value = objective(tile) * fraction
                gradient[..., rows, columns] = gradients_of(value, tile)[0]
            total += value.detach()
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx, output_gradient):  # type: ignore[no-untyped-def]
        (gradient,) = ctx.saved_tensors
        return gradient * output_gradient, None, None
