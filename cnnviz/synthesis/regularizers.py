"""What natural pictures have in common, as penalties on pixels (N, 3, H, W); each returns one value a picture, (N,)."""

from __future__ import annotations

import torch
from torch import Tensor


def total_variation(pixels: Tensor, beta: float = 2.0) -> Tensor:
    """Mean of ``(dx² + dy²)^(beta/2)`` over positions and channels, from each pixel to its right and lower neighbour.

    Mahendran & Vedaldi, "Understanding deep image representations by inverting them", CVPR 2015, arXiv:1412.0035:
    beta 1 is total variation proper and leaves edges alone; beta 2 blurs them but has no spikes. The paper sums; the
    mean makes one weight serve pictures of all sizes.
    """
    if beta == 2.0:
        return smoothness_penalty(pixels, 0.0, 1.0)
    across = pixels[..., :-1, 1:] - pixels[..., :-1, :-1]
    down = pixels[..., 1:, :-1] - pixels[..., :-1, :-1]
    energy = (across.square() + down.square() + 1e-8).pow(beta / 2)  # the root of zero has no slope
    return energy.mean((1, 2, 3))


def gray_distance(pixels: Tensor) -> Tensor:
    """Mean squared distance from middle grey: Simonyan's L2 penalty, in pixel units."""
    return (pixels - 0.5).square().mean((1, 2, 3))


def smoothness_penalty(pixels: Tensor, grey: float, variation: float) -> Tensor:
    """``grey * gray_distance + variation * total_variation`` (of beta 2), and their slope with it, in few passes.

    A picture of a small network is as much work for its penalties as a layer is; autograd would go over it thrice as
    often, and pad the slope of each slice with zeros.
    """
    found: Tensor = _SmoothnessPenalty.apply(pixels, grey, variation)
    return found


class _SmoothnessPenalty(torch.autograd.Function):
    """A quadratic form of the distance from grey, which is half the product of that and its slope."""

    @staticmethod
    def forward(ctx, pixels, grey, variation):  # type: ignore[no-untyped-def]
        distance = pixels - 0.5
        slope = distance * (2 * grey / distance[0].numel())
        corner, right, below = _neighbors(distance)
        at_corner, at_right, at_below = _neighbors(slope)
        step = 2 * variation / corner[0].numel()
        across = right - corner
        at_right.add_(across, alpha=step)
        at_corner.sub_(across, alpha=step)
        down = torch.sub(below, corner, out=across)
        at_below.add_(down, alpha=step)
        at_corner.sub_(down, alpha=step)
        ctx.save_for_backward(slope)
        return torch.linalg.vecdot(distance.flatten(1), slope.flatten(1)) / 2

    @staticmethod
    def backward(ctx, weight):  # type: ignore[no-untyped-def]
        (slope,) = ctx.saved_tensors
        return slope * weight.view(-1, 1, 1, 1), None, None


def _neighbors(pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Views of (N, C, H, W): pixels that have two neighbours, those to the right of them, and those below."""
    upper, lower = pixels[..., :-1, :], pixels[..., 1:, :-1]
    return upper[..., :-1], upper[..., 1:], lower


def out_of_range(pixels: Tensor) -> Tensor:
    """Mean squared distance to the nearest valid value; zero in [0, 1]."""
    return (pixels - pixels.clamp(0, 1)).square().mean((1, 2, 3))


def batch_similarity(features: Tensor) -> Tensor:
    """How alike the pictures of a batch are: mean cosine between the Gram matrices of each pair, a scalar.

    Features (N, C, H, W). The diversity term of Olah, Mordvintsev & Schubert 2017, to be made small. Zero for one
    picture.
    """
    count = len(features)
    if count < 2:
        return features.new_zeros(())
    flat = features.flatten(2)
    grams = torch.nn.functional.normalize((flat @ flat.transpose(1, 2)).flatten(1), dim=1)
    cosines = grams @ grams.T
    return (cosines.sum() - cosines.diagonal().sum()) / (count * (count - 1))
