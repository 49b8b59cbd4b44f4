"""What a texture is to a network: the moments of its features, and how far two of them are apart.

Every distance is relative to the target: 0 for the same texture, about 1 for a picture in which the layer sees
nothing. So one weight serves every layer, network and picture size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cnnviz.errors import UsageError


@dataclass(frozen=True)
class Moments:
    """Mean (N, C) and mean product (N, C, C), the Gram matrix, of a layer's features over positions.

    Both are averages, so the moments of two textures side by side are the weighted averages of theirs.
    """

    mean: Tensor
    gram: Tensor

    @property
    def covariance(self) -> Tensor:
        return self.gram - self.mean[:, :, None] * self.mean[:, None, :]

    def detach(self) -> Moments:
        return Moments(self.mean.detach(), self.gram.detach())


_FLAT = 1e-3
_BLOCKS = 16

Distance = Callable[[Moments, Moments], Tensor]
"""Moments found and wanted -> how far apart, a scalar; summed over the batch."""


def gram_matrix(features: Tensor, mask: Tensor | None = None) -> Tensor:
    """The Gram matrix of features (N, C, H, W) as a mean over positions: ``G_ij = mean_p F_ip F_jp``, (N, C, C).

    Gatys, Ecker & Bethge, "Texture Synthesis Using Convolutional Neural Networks", NIPS 2015, arXiv:1505.07376.
    Opposed to the paper the products are averaged, not summed, so that pictures of two sizes can be compared.

    ``mask`` (N or 1, 1, H, W), at least 0, weighs the positions: the guided Gram matrix of Gatys et al., "Controlling
    Perceptual Factors in Neural Style Transfer", CVPR 2017, arXiv:1611.07865, with the mask as the squared guide.
    """
    return moments(features, mask).gram


def moments(features: Tensor, mask: Tensor | None = None) -> Moments:
    """The moments of features (N, C, H, W), each position weighed by ``mask`` (N or 1, 1, H, W) if there is one."""
    if features.dtype == torch.float16:
        features = features.float()  # sums of squares are beyond it
    rows = features.permute(0, 2, 3, 1).flatten(1, 2)  # positions by channels; no copy in channels_last
    weights = None if mask is None else mask.to(rows).flatten(2).transpose(1, 2)
    return Moments(*_Moments.apply(rows, weights))


class _Moments(torch.autograd.Function):
    """Mean and mean product over rows (N, P, C) weighed by (N or 1, P, 1).

    The gradient of a product of a matrix with itself is one product, where autograd would make two and add them:
    ``dX = X (dG + dGᵀ) / P``. In a style transfer this is a quarter of a step.

    Features in bfloat16 are multiplied in it, which sums in float32: over ``_BLOCKS`` blocks of positions, so that
    what is rounded in the end is rounded that many times independently. The moments are float32.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        exact = torch.float32 if rows.dtype == torch.bfloat16 else rows.dtype
        weighed = rows if weights is None else rows * weights
        total = torch.tensor(rows.shape[1]) if weights is None else weights.sum((1, 2), keepdim=True, dtype=exact)
        total = total.to(rows.device, exact).clamp_min(1e-8)
        ctx.save_for_backward(rows, weights, total)
        return weighed.sum(1, dtype=exact) / total.reshape(-1, 1), _products(weighed, rows) / total

    @staticmethod
    def backward(ctx: Any, mean: Tensor, gram: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        rows, weights, total = ctx.saved_tensors
        both = (gram + gram.transpose(1, 2)) / total
        each = (mean / total.reshape(-1, 1))[:, None, :]
        found = torch.baddbmm(each.to(rows), rows, both.to(rows))
        return (found if weights is None else found * weights), None


def _products(one: Tensor, other: Tensor) -> Tensor:
    """``oneᵀ other`` of rows (N, P, C): the products summed over positions, (N, C, C), in float32 at least."""
    batch, positions, channels = one.shape
    if one.dtype != torch.bfloat16:
        return one.transpose(1, 2) @ other
    side = positions // _BLOCKS
    if side < channels:
        return (one.transpose(1, 2) @ other).float()
    whole, rest = side * _BLOCKS, slice(side * _BLOCKS, None)
    blocks = [rows[:, :whole].unflatten(1, (_BLOCKS, side)).flatten(0, 1) for rows in (one, other)]
    found = (blocks[0].transpose(1, 2) @ blocks[1]).unflatten(0, (batch, _BLOCKS)).sum(1, dtype=torch.float32)
    return found + one[:, rest].transpose(1, 2) @ other[:, rest] if whole < positions else found


def blend(parts: Sequence[Moments], weights: Sequence[float]) -> Moments:
    """The weighted average of moments; weights need not add up to one.

    Raises UsageError unless there is a weight for each, none negative, and one of them positive.
    """
    if len(weights) != len(parts):
        raise UsageError(f"{len(parts)} styles cannot have {len(weights)} weights.")
    total = sum(weights)
    if min(weights) < 0 or total <= 0:
        raise UsageError("The weights of styles must not be negative, and one of them must be positive.")
    shares = [weight / total for weight in weights]
    mean = sum((part.mean * share for part, share in zip(parts, shares, strict=True)), torch.zeros(()))
    gram = sum((part.gram * share for part, share in zip(parts, shares, strict=True)), torch.zeros(()))
    return Moments(mean.to(parts[0].mean), gram.to(parts[0].gram))


def gram_distance(found: Moments, wanted: Moments) -> Tensor:
    """``||G - A||² / ||A||²``: Gatys' layer loss ``E_l = sum (G - A)² / 4 N² M²``, divided by that of a blank layer."""
    return _relative(found.gram - wanted.gram, wanted.gram)


def covariance_distance(found: Moments, wanted: Moments) -> Tensor:
    """Covariances and means compared apart, each relative: a strong mean does not drown the texture around it.

    For a texture that hardly varies the covariance is taken relative to a thousandth of the Gram matrix.
    """
    difference = (found.covariance - wanted.covariance).square().sum((1, 2))
    energy = wanted.covariance.square().sum((1, 2)).maximum(_FLAT * wanted.gram.square().sum((1, 2)))
    return (difference / energy.clamp_min(1e-12)).sum() + _relative(found.mean - wanted.mean, wanted.mean)


def wasserstein_distance(found: Moments, wanted: Moments) -> Tensor:
    """The squared 2-Wasserstein distance between the Gaussians of these moments, relative to the target's energy.

    ``|m - n|² + tr(S + T - 2 (T^½ S T^½)^½)`` (Olkin & Pukelsheim, Linear Algebra and its Applications 48, 1982). In
    style transfer as in Crowson's style-transfer-pytorch, which divides it by the channels instead.
    """
    root = _square_root(wanted.covariance)
    inner = root @ found.covariance @ root
    # The slope of a root is infinite at zero: directions in which neither texture varies are left out.
    floor = torch.finfo(inner.dtype).eps * _trace(wanted.covariance)[:, None] ** 2
    overlap = torch.linalg.eigvalsh((inner + inner.transpose(1, 2)) / 2).clamp_min(floor).sqrt().sum(1)
    energy = wanted.mean.square().sum(1) + _trace(wanted.covariance)
    apart = (found.mean - wanted.mean).square().sum(1) + _trace(found.covariance) + _trace(wanted.covariance)
    return ((apart - 2 * overlap) / energy.clamp_min(1e-12)).clamp_min(0).sum()


DISTANCES: dict[str, Distance] = {
    "gram": gram_distance,
    "covariance": covariance_distance,
    "wasserstein": wasserstein_distance,
}


def distance(name: str) -> Distance:
    """The distance called ``name``; UsageError if there is none."""
    if name not in DISTANCES:
        raise UsageError(f"There is no style loss '{name}'; there are {', '.join(DISTANCES)}.")
    return DISTANCES[name]


def relative_error(found: Tensor, wanted: Tensor) -> Tensor:
    """``||found - wanted||² / ||wanted||²`` of each item of a batch, summed: the content loss, free of units."""
    return _relative(found - wanted, wanted)


def _relative(difference: Tensor, wanted: Tensor) -> Tensor:
    axes = tuple(range(1, difference.ndim))
    return (difference.square().sum(axes) / wanted.square().sum(axes).clamp_min(1e-12)).sum()


def _trace(matrices: Tensor) -> Tensor:
    return matrices.diagonal(dim1=1, dim2=2).sum(1)


def _square_root(matrices: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrices)
    return (vectors * values.clamp_min(0).sqrt()[:, None, :]) @ vectors.transpose(1, 2)
