"""Random views of a picture: what is found must survive being shifted, scaled and turned a little.

Olah, Mordvintsev & Schubert, "Feature Visualization", Distill 2017: without such robustness, gradient ascent finds
high-frequency patterns that mean nothing to anybody but the network.
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
    """Shift, scale and turn each picture by chance, in one resampling; what lies outside is middle grey.

    Chained transforms, as elsewhere, resample once each and blur each time.

    ``shift``: pixels up, down, left or right; ``scale``: least and largest magnification; ``degrees``: of turning
    either way.
    """

    shift: float = 16.0
    scale: tuple[float, float] = (0.9, 1.1)
    degrees: float = 5.0

    def __call__(self, pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A view (N, 3, H, W) of pixels (N, 3, H, W); ``generator`` lives on the CPU, as all chance here."""
        theta = self._matrices(len(pixels), pixels.shape[2], pixels.shape[3], generator)
        seen: Tensor = _Resampling.apply(pixels - 0.5, theta)
        return seen.add_(0.5)

    def _matrices(self, count: int, height: int, width: int, generator: torch.Generator | None) -> Tensor:
        """Affine matrices (count, 2, 3) from a view's coordinates, in [-1, 1], to the picture's."""
        rows: list[float] = []
        low, high = self.scale
        # Plain numbers: some twenty operations on tensors of so few would take as long as the resampling.
        for zoom, turn, right, under in torch.rand(4, count, generator=generator).T.tolist():
            factor = 1 / (low + (high - low) * zoom)
            angle = math.radians(self.degrees) * (2 * turn - 1)
            cos, sin = factor * math.cos(angle), factor * math.sin(angle)
            across, down = self.shift * (2 * right - 1) * 2 / width, self.shift * (2 * under - 1) * 2 / height
            # Coordinates run from -1 to 1 on both axes, so turning a picture that is not square needs its shape.
            rows += [cos, -sin * height / width, across, sin * width / height, cos, down]
        return torch.tensor(rows).view(count, 2, 3)


class _Resampling(torch.autograd.Function):
    """Pixels read by affine matrices (N, 2, 3), black outside, and slopes read back by the inverse ones.

    The way back is the adjoint of turning and scaling pictures that are continuous, sampled, rather than that of
    their sampled version, which adds each slope to the four pixels it came from. To those it differs by how it smooths
    (for a network's slopes the two point the same way, at a cosine of 0.996), has none of the moiré of weights that
    gather more on one pixel than on the next, and takes a quarter of the time.
    """

    @staticmethod
    def forward(ctx, pixels, theta):  # type: ignore[no-untyped-def]
        inverse, density = _inverted(theta)
        there_and_back = torch.cat([theta, inverse]).to(pixels.device, pixels.dtype, non_blocking=True)
        there, ctx.back = affine_field(there_and_back, pixels.shape[2], pixels.shape[3]).chunk(2)
        ctx.density = density.to(pixels.device, pixels.dtype, non_blocking=True)
        return _sampled(pixels, there)

    @staticmethod
    def backward(ctx, slope):  # type: ignore[no-untyped-def]
        return _sampled(slope, ctx.back).mul_(ctx.density), None


def _sampled(pixels: Tensor, field: Tensor) -> Tensor:
    return F.grid_sample(pixels, field, mode="bilinear", padding_mode="zeros", align_corners=False)


def _inverted(theta: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of affine matrices (N, 2, 3), and how many pixels of a view there are to one of the picture's."""
    rows, densities = [], []
    for (a, b, right), (c, d, down) in theta.tolist():  # plain numbers, as in ``RandomView``
        density = 1 / (a * d - b * c)
        rows += [d, -b, b * down - d * right, -c, a, c * right - a * down]
        rows[-6:] = [density * value for value in rows[-6:]]
        densities.append(abs(density))
    return torch.tensor(rows).view(-1, 2, 3), torch.tensor(densities).view(-1, 1, 1, 1)


def affine_field(theta: Tensor, height: int, width: int) -> Tensor:
    """Where each pixel of a view is read, (N, height, width, 2), by affine matrices (N, 2, 3).

    ``F.affine_grid`` without aligned corners, which multiplies matrices of three columns and takes up to four times as
    long as sums of rows and columns.
    """
    across, down = (_centres(n, theta.device, theta.dtype) for n in (width, height))
    by_column, by_row, offset = theta[..., None].unbind(2)
    field = (by_column * across + offset)[:, :, None] + (by_row * down)[..., None]
    return field.permute(0, 2, 3, 1)  # the coordinates apart in memory, which resampling takes as well


@functools.lru_cache(maxsize=8)
def _centres(count: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The middles of so many pixels in a row, in coordinates from -1 to 1 at its ends."""
    return (2 * torch.arange(count, device=device, dtype=dtype) + 1) / count - 1


def random_offset(largest: int, generator: torch.Generator | None) -> tuple[int, int]:
    """A shift (down, right) of up to ``largest`` pixels either way."""
    down, right = torch.randint(-largest, largest + 1, (2,), generator=generator).tolist()
    return down, right


def roll(pixels: Tensor, offset: tuple[int, int]) -> Tensor:
    """Pixels shifted around the borders by (down, right)."""
    return pixels if offset == (0, 0) else pixels.roll(offset, (2, 3))


def unroll(pixels: Tensor, offset: tuple[int, int]) -> Tensor:
    """Undo ``roll``."""
    return roll(pixels, (-offset[0], -offset[1]))
