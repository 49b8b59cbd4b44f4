"""L-infinity and L2 norms of a perturbation, steps and projections in them, and random starts.

Norms are in units of pixel value (8/255 is eight gray levels): L-infinity is the largest absolute change of any value,
L2 the square root of the sum of squares over all values of one image.
"""

from __future__ import annotations

import torch
from torch import Tensor


def size(perturbation: Tensor, norm: str) -> Tensor:
    """The norm of each image's perturbation: (N, C, H, W) -> (N,)."""
    flat = perturbation.flatten(1)
    return flat.abs().amax(1) if norm == "linf" else flat.norm(dim=1)


def direction(gradient: Tensor, norm: str) -> Tensor:
    """The unit step of steepest ascent in ``norm``: the gradient's sign, or the gradient over its L2 norm."""
    if norm == "linf":
        return gradient.sign()
    return gradient / _column(size(gradient, "l2")).clamp_min(1e-12)


def project(perturbation: Tensor, epsilon: float, norm: str) -> Tensor:
    """The projection of each perturbation (N, C, H, W) onto the ball of radius ``epsilon``."""
    if norm == "linf":
        return perturbation.clamp(-epsilon, epsilon)
    return perturbation * (epsilon / _column(size(perturbation, "l2")).clamp_min(1e-12)).clamp_max(1)


def random_start(pixels: Tensor, epsilon: float, norm: str, generator: torch.Generator) -> Tensor:
    """A random perturbation in the ball: uniform in each value, or of uniform length in a random direction."""
    noise = torch.rand(pixels.shape, generator=generator, dtype=pixels.dtype).to(pixels.device) * 2 - 1
    if norm == "linf":
        return noise * epsilon
    length = torch.rand(len(pixels), generator=generator, dtype=pixels.dtype).to(pixels.device)
    return direction(noise, "l2") * _column(length) * epsilon


def _column(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
