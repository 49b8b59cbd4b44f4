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
        return _SquaredVariation.apply(pixels)
    across = pixels[..., :-1, 1:] - pixels[..., :-1, :-1]
    down = pixels[..., 1:, :-1] - pixels[..., :-1, :-1]
    energy = (across.square() + down.square() + 1e-8).pow(beta / 2)  # the root of zero has no slope
    return energy.mean((1, 2, 3))


class _SquaredVariation(torch.autograd.Function):
    """``total_variation`` for beta 2. Autograd pads each slice's gradient with zeros; this adds in place."""

    @staticmethod
    def forward(ctx, pixels):  # type: ignore[no-untyped-def]
        corner = pixels[..., :-1, :-1]
        across, down = pixels[..., :-1, 1:] - corner, pixels[..., 1:, :-1] - corner
        gradient = torch.zeros_like(pixels)
        gradient[..., :-1, 1:] += across
        gradient[..., 1:, :-1] += down
        gradient[..., :-1, :-1] -= across + down
        count = corner[0].numel()
        ctx.save_for_backward(gradient.mul_(2 / count))
        return (across.square_() + down.square_()).sum((1, 2, 3)) / count

    @staticmethod
    def backward(ctx, slope):  # type: ignore[no-untyped-def]
        (gradient,) = ctx.saved_tensors
        return gradient * slope.view(-1, 1, 1, 1)


def grey_distance(pixels: Tensor) -> Tensor:
    """Mean squared distance from middle grey: Simonyan's L2 penalty, in pixel units."""
    return (pixels - 0.5).square().mean((1, 2, 3))


def out_of_range(pixels: Tensor) -> Tensor:
    """Mean squared distance to the nearest valid value; zero in [0, 1]."""
    return (pixels - pixels.clamp(0, 1)).square().mean((1, 2, 3))


def likeness(features: Tensor) -> Tensor:
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
