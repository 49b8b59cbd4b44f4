"""Image priors as penalties on pixels (N, 3, H, W); each returns one value per image, (N,)."""

from __future__ import annotations

import torch
from torch import Tensor


def total_variation(pixels: Tensor, beta: float = 2.0) -> Tensor:
    """Mean of ``(dx² + dy²)^(beta/2)`` over positions and channels, from each pixel to its right and lower neighbor.

    Mahendran & Vedaldi, "Understanding deep image representations by inverting them", CVPR 2015, arXiv:1412.0035:
    beta 1 is total variation proper and keeps edges; beta 2 blurs them but has no spikes. Unlike the paper, which sums,
    this is a mean, so that one weight serves images of all sizes.
    """
    if beta == 2.0:
        return smoothness_penalty(pixels, 0.0, 1.0)
    across = pixels[..., :-1, 1:] - pixels[..., :-1, :-1]
    down = pixels[..., 1:, :-1] - pixels[..., :-1, :-1]
    energy = (across.square() + down.square() + 1e-8).pow(beta / 2)  # the root of zero has no gradient
    return energy.mean((1, 2, 3))


def gray_distance(pixels: Tensor) -> Tensor:
    """Mean squared distance from middle gray: Simonyan's L2 penalty, in pixel units."""
    return (pixels - 0.5).square().mean((1, 2, 3))


def smoothness_penalty(pixels: Tensor, gray: float, variation: float) -> Tensor:
    """``gray * gray_distance + variation * total_variation`` (of beta 2), with its gradient, in few passes.

    In a small network the penalties cost as much as a layer; autograd would go over the image three times as often,
    and pad the gradient of each slice with zeros.
    """
    penalty: Tensor = _SmoothnessPenalty.apply(pixels, gray, variation)
    return penalty


class _SmoothnessPenalty(torch.autograd.Function):
    """A quadratic form of the distance from gray, which is half the product of that distance and its gradient."""

    @staticmethod
    def forward(ctx, pixels, gray, variation):  # type: ignore[no-untyped-def]
        distance = pixels - 0.5
        gradient = distance * (2 * gray / distance[0].numel())
        corner, right, below = _neighbors(distance)
        at_corner, at_right, at_below = _neighbors(gradient)
        step = 2 * variation / corner[0].numel()
        across = right - corner
        at_right.add_(across, alpha=step)
        at_corner.sub_(across, alpha=step)
        down = torch.sub(below, corner, out=across)
        at_below.add_(down, alpha=step)
        at_corner.sub_(down, alpha=step)
        ctx.save_for_backward(gradient)
        return torch.linalg.vecdot(distance.flatten(1), gradient.flatten(1)) / 2

    @staticmethod
    def backward(ctx, weight):  # type: ignore[no-untyped-def]
        (gradient,) = ctx.saved_tensors
        return gradient * weight.view(-1, 1, 1, 1), None, None


def _neighbors(pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Views of (N, C, H, W): pixels that have two neighbors, those to the right of them, and those below."""
    upper, lower = pixels[..., :-1, :], pixels[..., 1:, :-1]
    return upper[..., :-1], upper[..., 1:], lower


def out_of_range(pixels: Tensor) -> Tensor:
    """Mean squared distance to the nearest valid value; zero in [0, 1]."""
    return (pixels - pixels.clamp(0, 1)).square().mean((1, 2, 3))


def batch_similarity(features: Tensor) -> Tensor:
    """The mean cosine similarity between the Gram matrices of each pair of features (N, C, H, W), a scalar.

    The diversity term of Olah, Mordvintsev & Schubert, "Feature Visualization", Distill 2017, to be minimized. Zero
    for one image.
    """
    count = len(features)
    if count < 2:
        return features.new_zeros(())
    flat = features.flatten(2)
    grams = torch.nn.functional.normalize((flat @ flat.transpose(1, 2)).flatten(1), dim=1)
    cosines = grams @ grams.T
    return (cosines.sum() - cosines.diagonal().sum()) / (count * (count - 1))
