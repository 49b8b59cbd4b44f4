"""Integrated gradients: the gradient averaged on the straight path from a baseline to the image."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cnnviz.attribution.gradients import gradient_and_logits, sum_in_batches
from cnnviz.attribution.settings import BASELINES, IntegratedGradientsSettings
from cnnviz.attribution.targets import (
    ResolvedOnce,
    Target,
    TargetFunction,
    logits_of,
    resolved_targets,
    target_scores,
    targets_of,
)
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_pixels
from cnnviz.network.network import Network


def integrated_gradients(
    network: Network,
    pixels: Tensor,
    target: Target = None,
    *,
    steps: int = IntegratedGradientsSettings.steps,
    baseline: str | Tensor = IntegratedGradientsSettings.baseline,
) -> Tensor:
    """Each pixel's difference from a baseline times the mean gradient on the straight path from there.

    Sundararajan, Taly & Yan, "Axiomatic Attribution for Deep Networks", ICML 2017, arXiv:1703.01365. The values sum to
    the difference of the class score between image and baseline (completeness), up to the error of the quadrature.
    Unlike the paper, which takes equal steps, this is Gauss-Legendre quadrature over s with path fraction t = s^1.5,
    since the gradient changes fastest near the baseline: on the embedded network and photos 64 such steps err by under
    1 %, equal steps by 1 to 3 %.

    Args:
        network: the network to explain.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; the class predicted for each image if None. Or what ``saliency`` takes.
        steps: number of gradients on the path.
        baseline: ``black``, ``gray``, ``white``, or pixels broadcastable to (N, 3, H, W).

    Returns:
        (N, 3, H, W), signed, in units of the score.

    Raises:
        UsageError: no such class or baseline, or no steps.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.integrated_gradients(network, pixels, "tabby", steps=4).shape
        torch.Size([1, 3, 64, 96])
    """
    require_steps(steps)
    pixels = require_pixels(pixels, network.spec.channels).to(network.device)
    baselines = baseline_pixels(pixels, baseline)
    fractions, weights = _quadrature(steps, pixels)
    targets = resolved_targets(network, pixels, target)
    attributions = []
    for image, start, one in zip(pixels.split(1), baselines.split(1), targets, strict=True):
        attributions.append((image - start) * _mean_gradient(network, start, image, one, fractions, weights))
    return torch.cat(attributions)


def _mean_gradient(
    network: Network, start: Tensor, image: Tensor, target: int | TargetFunction, fractions: Tensor, weights: Tensor
) -> Tensor:
    """The weighted sum of the gradients at ``fractions`` of the path from ``start`` to ``image``, (1, 3, H, W)."""

    def weighted(part: slice) -> Tensor:
        gradients, _ = gradient_and_logits(network, start + fractions[part] * (image - start), target)
        return (weights[part] * gradients).sum(0, keepdim=True)

    return sum_in_batches(network, image, len(fractions), weighted)


def _quadrature(steps: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Fractions of the path at which to take gradients, and their weights, each (steps, 1, 1, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    s = (nodes + 1) / 2
    fractions, weights = s**1.5, weights / 2 * 1.5 * np.sqrt(s)
    return tuple(torch.from_numpy(values).to(like).view(-1, 1, 1, 1) for values in (fractions, weights))  # type: ignore[return-value]


@torch.no_grad()
def completeness_error(
    network: Network,
    pixels: Tensor,
    attribution: Tensor,
    target: Target | ResolvedOnce = None,
    baseline: str | Tensor = "black",
    **_: object,
) -> Tensor:
    """The difference between the sum of ``attribution`` and that of the scores, as a fraction of the latter: (N,).

    Args:
        network: the network that was explained.
        pixels: (N, 3, H, W), RGB in [0, 1].
        attribution: (N, C, H, W), from ``integrated_gradients``.
        target: the class explained; the class predicted for each image if None.
        baseline: of the integrated gradients.
    """
    pixels = require_pixels(pixels, network.spec.channels).to(network.device)
    logits = logits_of(network, pixels, target)
    targets = targets_of(network, logits, target)
    at_baseline = target_scores(network, network(baseline_pixels(pixels, baseline)), targets)
    difference = target_scores(network, logits, targets) - at_baseline
    return relative_error(attribution, difference)


def relative_error(attribution: Tensor, total: Tensor) -> Tensor:
    """How far each sum of ``attribution`` (N, C, H, W) is from ``total`` (N,), as a fraction of that: (N,)."""
    return (attribution.sum((1, 2, 3)) - total).abs() / total.abs().clamp_min(1e-12)


def require_steps(steps: int) -> None:
    """Raise UsageError for a path without steps."""
    if steps < 1:
        raise UsageError("Integrated gradients need at least one step.")


def baseline_pixels(pixels: Tensor, baseline: str | Tensor) -> Tensor:
    """The pixels of a baseline, of the shape of ``pixels``; UsageError for an unknown name."""
    if isinstance(baseline, Tensor):
        return baseline.to(pixels).expand_as(pixels)
    if baseline not in BASELINES:
        raise UsageError(f"There is no baseline '{baseline}'; the choices are {', '.join(BASELINES)}.")
    return torch.full_like(pixels, BASELINES[baseline])
