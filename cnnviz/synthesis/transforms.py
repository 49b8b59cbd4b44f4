"""Random shifts, scalings and rotations of an image, to which the result of an optimization is to be robust.

Olah, Mordvintsev & Schubert, "Feature Visualization", Distill 2017: without such robustness, gradient ascent finds
high-frequency patterns that only the network responds to.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class RandomView:
    """A random shift, scaling and rotation of each image, in one resampling; the outside is middle gray.

    Transforms applied one after the other resample once each and blur each time.

    ``shift``: largest shift in pixels, in each direction; ``scale``: least and largest magnification; ``degrees``:
    largest rotation either way.
    """

    shift: float = 16.0
    scale: tuple[float, float] = (0.9, 1.1)
    degrees: float = 5.0

    def __call__(self, pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A random view (N, 3, H, W) of pixels (N, 3, H, W); ``generator`` is a CPU generator."""
        theta = self.random_matrices(len(pixels), pixels.shape[2], pixels.shape[3], generator)
        seen: Tensor = _Resampling.apply(pixels - 0.5, theta)
        return seen.add_(0.5)

    def random_matrices(self, count: int, height: int, width: int, generator: torch.Generator | None) -> Tensor:
        """Random affine matrices (count, 2, 3) from a view's coordinates, in [-1, 1], to the image's."""
        rows: list[float] = []
        low, high = self.scale
        # Python numbers: some twenty operations on such small tensors would take as long as the resampling.
        for zoom, turn, right, under in torch.rand(4, count, generator=generator).T.tolist():
            factor = 1 / (low + (high - low) * zoom)
            angle = math.radians(self.degrees) * (2 * turn - 1)
            cos, sin = factor * math.cos(angle), factor * math.sin(angle)
            across, down = self.shift * (2 * right - 1) * 2 / width, self.shift * (2 * under - 1) * 2 / height
            # Coordinates run from -1 to 1 on both axes, so rotating an image that is not square needs its shape.
            rows += [cos, -sin * height / width, across, sin * width / height, cos, down]
        return torch.tensor(rows).view(count, 2, 3)


class _Resampling(torch.autograd.Function):
    """Pixels resampled by affine matrices (N, 2, 3), black outside; gradients are resampled by the inverse matrices.

    The backward pass is the sampled adjoint of the transform of continuous images, rather than the adjoint of the
    sampled transform, which adds each gradient to the four pixels it came from. The two differ in how they smooth (for
    a network's gradients their cosine is 0.996); this one has no moiré from unequal sums of weights, and takes a
    quarter of the time.
    """

    @staticmethod
    def forward(ctx, pixels, theta):  # type: ignore[no-untyped-def]
        inverse, density = invert_affine(theta)
        both = torch.cat([theta, inverse]).to(pixels.device, pixels.dtype, non_blocking=True)
        grid, ctx.inverse_grid = affine_grid(both, pixels.shape[2], pixels.shape[3]).chunk(2)
        ctx.density = density.to(pixels.device, pixels.dtype, non_blocking=True)
        return _sampled(pixels, grid)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return _sampled(gradient, ctx.inverse_grid).mul_(ctx.density), None


def _sampled(pixels: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def invert_affine(theta: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of affine matrices (N, 2, 3), and a view's pixels per pixel of the image, (N, 1, 1, 1)."""
    rows, densities = [], []
    for (a, b, right), (c, d, down) in theta.tolist():  # Python numbers, as in ``RandomView``
        density = 1 / (a * d - b * c)
        rows += [d, -b, b * down - d * right, -c, a, c * right - a * down]
        rows[-6:] = [density * value for value in rows[-6:]]
        densities.append(abs(density))
    return torch.tensor(rows).view(-1, 2, 3), torch.tensor(densities).view(-1, 1, 1, 1)


def affine_grid(theta: Tensor, height: int, width: int) -> Tensor:
    """The sampling grid (N, height, width, 2) of affine matrices (N, 2, 3).

    As ``F.affine_grid`` without aligned corners, which multiplies matrices of three columns and takes up to four times
    as long as these sums of rows and columns.
    """
    across, down = (_centers(n, theta.device, theta.dtype) for n in (width, height))
    by_column, by_row, offset = theta[..., None].unbind(2)
    grid = (by_column * across + offset)[:, :, None] + (by_row * down)[..., None]
    return grid.permute(0, 2, 3, 1)  # x and y apart in memory, which resampling accepts


@functools.lru_cache(maxsize=8)
def _centers(count: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The centers of a row of ``count`` pixels, in coordinates from -1 to 1 at its ends."""
    return (2 * torch.arange(count, device=device, dtype=dtype) + 1) / count - 1


def random_offset(largest: int, generator: torch.Generator | None) -> tuple[int, int]:
    """A random shift (down, right) of up to ``largest`` pixels either way."""
    down, right = torch.randint(-largest, largest + 1, (2,), generator=generator).tolist()
    return down, right


def roll(pixels: Tensor, offset: tuple[int, int]) -> Tensor:
    """Pixels shifted circularly by (down, right)."""
    return pixels if offset == (0, 0) else pixels.roll(offset, (2, 3))
