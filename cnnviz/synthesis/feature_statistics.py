"""Feature statistics of a texture (mean and Gram matrix), and relative distances between two of them.

Every distance is relative to the target: 0 for the same texture, about 1 for an image in which the layer sees
nothing. So one weight serves every layer, network and image size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.synthesis.gram_ops import apply_channel_matrix, gram, spatial_sum
from cnnviz.synthesis.settings import require_choice


@dataclass(frozen=True)
class Moments:
    """Mean (N, C) and mean product (N, C, C), the Gram matrix, of a layer's features over positions.

    Both are averages, so the moments of two textures side by side are the weighted averages of theirs.
    """

    mean: Tensor
    gram: Tensor

    @property
    def covariance(self) -> Tensor:
        """The covariance (N, C, C) of the channels over positions."""
        return self.gram - self.mean[:, :, None] * self.mean[:, None, :]

    def detach(self) -> Moments:
        """The same moments without gradients."""
        return Moments(self.mean.detach(), self.gram.detach())


_FLAT = 1e-3
"""Fraction of the Gram matrix's energy that a covariance's is taken to have at least."""

Distance = Callable[[Moments, Moments], Tensor]
"""Moments found and wanted -> their distance, a scalar; summed over the batch."""


def gram_matrix(features: Tensor, mask: Tensor | None = None) -> Tensor:
    """The Gram matrix of features (N, C, H, W) as a mean over positions: ``G_ij = mean_p F_ip F_jp``, (N, C, C).

    Gatys, Ecker & Bethge, "Texture Synthesis Using Convolutional Neural Networks", NIPS 2015, arXiv:1505.07376.
    Unlike the paper the products are averaged, not summed, so that images of two sizes can be compared.

    ``mask`` (N or 1, 1, H, W), at least 0, weights the positions: the guided Gram matrix of Gatys et al., "Controlling
    Perceptual Factors in Neural Style Transfer", CVPR 2017, arXiv:1611.07865, with the mask as the squared guide.

    Example:
        >>> gram_matrix(torch.ones(1, 2, 4, 4))
        tensor([[[1., 1.],
                 [1., 1.]]])
    """
    return moments(features, mask).gram


def moments(features: Tensor, mask: Tensor | None = None) -> Moments:
    """The moments of features (N, C, H, W), each position weighted by ``mask`` (N or 1, 1, H, W) if there is one."""
    if features.dtype == torch.float16:
        features = features.float()  # sums of squares exceed float16's range
    return Moments(*_Moments.apply(features, None if mask is None else mask.to(features)))


class _Moments(torch.autograd.Function):
    """Mean and mean product of maps (N, C, H, W) over positions, weighted by (N or 1, 1, H, W).

    The gradient of a product of a matrix with itself is one product, where autograd would make two and add them:
    ``dX = X (dG + dGᵀ) / P``. In a style transfer this is a quarter of a step. The moments are float32 at least.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        dtype = torch.float64 if maps.dtype == torch.float64 else torch.float32
        weighted = maps if weights is None else maps * weights
        counted = maps.new_ones(()).expand(1, 1, *maps.shape[2:]) if weights is None else weights
        total = counted.sum((1, 2, 3), dtype=dtype).clamp_min(1e-8).reshape(-1, 1)
        ctx.save_for_backward(maps, weights, total)
        return spatial_sum(weighted) / total, gram(weighted, maps) / total[..., None]

    @staticmethod
    def backward(ctx: Any, mean: Tensor, gram: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        maps, weights, total = ctx.saved_tensors
        gradient = apply_channel_matrix(maps, (gram + gram.transpose(1, 2)) / total[..., None], mean / total)
        return (gradient if weights is None else gradient.mul_(weights)), None


def resize_mask(mask: Tensor | None, size: Sequence[int], like: Tensor | None = None) -> Tensor | None:
    """A mask (N, 1, H, W) at another (height, width), each value the mean of the area it covers; None stays None.

    A mask that is resized takes the type and device of ``like``, if given.
    """
    if mask is None or tuple(mask.shape[2:]) == tuple(size):
        return mask
    return F.interpolate(mask if like is None else mask.to(like), tuple(size), mode="area")


def blend(parts: Sequence[Moments], weights: Sequence[float]) -> Moments:
    """The weighted average of moments; weights need not add up to one.

    Raises:
        UsageError: not one weight for each, a negative one, or none above 0.
    """
    if len(weights) != len(parts):
        raise UsageError(f"{len(parts)} styles cannot have {len(weights)} weights.")
    total = sum(weights)
    if min(weights) < 0 or total <= 0:
        raise UsageError("The weights of styles must not be negative, and one of them must be positive.")
    fractions = [weight / total for weight in weights]
    mean = sum((part.mean * share for part, share in zip(parts, fractions, strict=True)), torch.zeros(()))
    product = sum((part.gram * share for part, share in zip(parts, fractions, strict=True)), torch.zeros(()))
    return Moments(mean.to(parts[0].mean), product.to(parts[0].gram))


def gram_distance(found: Moments, wanted: Moments) -> Tensor:
    """``||G - A||² / ||A||²``: Gatys' layer loss ``E_l = sum (G - A)² / 4 N² M²``, divided by that of a blank layer."""
    return _relative(found.gram - wanted.gram, wanted.gram)


def covariance_distance(found: Moments, wanted: Moments) -> Tensor:
    """Relative distance of the covariances plus that of the means, so that a large mean does not hide the texture.

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
    root = _square_root(_in_float64(wanted.covariance))
    inner = root @ _in_float64(found.covariance) @ root
    # The gradient of a root is infinite at zero: directions in which neither texture varies are left out.
    floor = torch.finfo(found.gram.dtype).eps * _trace(wanted.covariance)[:, None].to(inner) ** 2
    overlap = torch.linalg.eigvalsh((inner + inner.transpose(1, 2)) / 2).clamp_min(floor).sqrt().sum(1).to(found.gram)
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
    require_choice("style loss", name, list(DISTANCES))
    return DISTANCES[name]


def relative_error(found: Tensor, wanted: Tensor) -> Tensor:
    """``||found - wanted||² / ||wanted||²`` of each item of a batch, summed: the content loss, without units."""
    return _relative(found - wanted, wanted)


def _relative(difference: Tensor, wanted: Tensor) -> Tensor:
    axes = tuple(range(1, difference.ndim))
    return (difference.square().sum(axes) / wanted.square().sum(axes).clamp_min(1e-12)).sum()


def _trace(matrices: Tensor) -> Tensor:
    return matrices.diagonal(dim1=1, dim2=2).sum(1)


def _square_root(matrices: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrices)
    return (vectors * values.clamp_min(0).sqrt()[:, None, :]) @ vectors.transpose(1, 2)


def _in_float64(matrices: Tensor) -> Tensor:
    """Tensors in float64: in float32 LAPACK fails to decompose covariances of fewer positions than channels."""
    device = torch.device("cpu") if matrices.device.type == "mps" else matrices.device  # MPS has no float64
    return matrices.to(device, torch.float64)
