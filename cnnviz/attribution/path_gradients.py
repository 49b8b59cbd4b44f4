"""Integrated gradients on other paths: from blurred to sharp, and through the least gradients first."""

from __future__ import annotations

import torch
from torch import Tensor

from cnnviz.attribution.gradients import gradient_and_logits, sum_in_batches
from cnnviz.attribution.integrated_gradients import baseline_pixels, relative_error, require_steps
from cnnviz.attribution.occlusion import replicate_blur
from cnnviz.attribution.settings import IntegratedGradientsSettings
from cnnviz.attribution.targets import (
    ResolvedOnce,
    Target,
    TargetFunction,
    each_image,
    logits_of,
    resolved_targets,
    target_scores,
    targets_of,
)
from cnnviz.imaging.checks import require_pixels
from cnnviz.network.network import Network

_LARGEST_SIGMA = 0.25
"""Standard deviation of the blur at the start of the path, as a fraction of the image's shorter side."""

_MOST_AHEAD = 0.1
"""How far, in fractions of the whole path, a pixel may be ahead of the others or behind."""


def blur_integrated_gradients(
    network: Network, pixels: Tensor, target: Target = None, *, steps: int = IntegratedGradientsSettings.steps
) -> Tensor:
    """Integrated gradients from a blurred image to the sharp one: each detail's share, at the scale where it appears.

    Xu, Venugopalan & Sundararajan, "Attribution in Scale and Space", CVPR 2020, arXiv:2004.03383. The values sum to the
    difference of the class score between the image and its blurred copy. Unlike the paper, the standard deviation of
    the blur falls quadratically to zero, and gradients are taken in the middle of each step, which errs less.

    Args:
        network: the network to explain.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; the class predicted for each image if None. Or what ``saliency`` takes.
        steps: number of gradients on the path, which begins with a blur of a quarter of the shorter side.

    Returns:
        (N, 3, H, W), signed, in units of the score.

    Raises:
        UsageError: no such class, or no steps.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.blur_integrated_gradients(network, pixels, "tabby", steps=4).shape
        torch.Size([1, 3, 64, 96])
    """
    require_steps(steps)
    pixels = require_pixels(pixels, network.spec.channels).to(network.device)
    return torch.cat([_from_blur(network, *pair, steps) for pair in each_image(network, pixels, target)])


def _from_blur(network: Network, image: Tensor, target: int | TargetFunction, steps: int) -> Tensor:
    def summed(part: slice) -> Tensor:
        places = torch.cat([_blurred(image, 1 - place / steps) for place in range(part.start, part.stop + 1)])
        gradient, _ = gradient_and_logits(network, (places[:-1] + places[1:]) / 2, target)
        return (gradient * (places[1:] - places[:-1])).sum(0, keepdim=True)

    return sum_in_batches(network, image, steps, summed)


def _blurred(image: Tensor, left: float) -> Tensor:
    """The image on the path from blurred to sharp where a fraction ``left`` of the path remains."""
    sigma = _LARGEST_SIGMA * min(image.shape[2:]) * left**2
    return replicate_blur(image, sigma) if sigma > 0 else image


def guided_integrated_gradients(
    network: Network,
    pixels: Tensor,
    target: Target = None,
    *,
    steps: int = IntegratedGradientsSettings.steps,
    baseline: str | Tensor = IntegratedGradientsSettings.baseline,
) -> Tensor:
    """Integrated gradients on a path that goes first where the gradient is least, and so around what is only noise.

    Kapishnikov, Venugopalan, Avci, Wedin, Terry & Bolukbasi, "Guided Integrated Gradients: an Adaptive Path Method for
    Removing Noise", CVPR 2021, arXiv:2106.09788. In each step the values with the least gradients move to the image,
    none more than a tenth of the path ahead of or behind the straight one. Unlike the authors' code, they move strictly
    in the order of their gradients, not a fraction of them at a time, and the gradients at both ends of a step are
    averaged. The values sum to the difference of the class
    score between image and baseline, up to the error of the steps.

    Args:
        network: the network to explain.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; the class predicted for each image if None. Or what ``saliency`` takes.
        steps: number of steps on the path, one after another.
        baseline: ``black``, ``gray``, ``white``, or pixels broadcastable to (N, 3, H, W).

    Returns:
        (N, 3, H, W), signed, in units of the score.

    Raises:
        UsageError: no such class or baseline, or no steps.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.guided_integrated_gradients(network, pixels, "tabby", steps=4).shape
        torch.Size([1, 3, 64, 96])
    """
    require_steps(steps)
    pixels = require_pixels(pixels, network.spec.channels).to(network.device)
    starts = baseline_pixels(pixels, baseline).split(1)
    targets = resolved_targets(network, pixels, target)
    parts = zip(starts, pixels.split(1), targets, strict=True)
    return torch.cat([_guided(network, start, image, one, steps) for start, image, one in parts])


def _guided(network: Network, start: Tensor, image: Tensor, target: int | TargetFunction, steps: int) -> Tensor:
    place, found, whole = start, torch.zeros_like(image), (image - start).abs().sum()
    gradient, _ = gradient_and_logits(network, place, target)
    for step in range(1, steps + 1):
        share = step / steps
        behind, ahead = (start + min(max(share + sign * _MOST_AHEAD, 0), 1) * (image - start) for sign in (-1, 1))
        late = (image - place).abs() > (image - behind).abs()
        moved = torch.where(late, behind, place)
        budget = (image - moved).abs().sum() - whole * (1 - share)
        moved = _least_first(moved, ahead, gradient.abs(), budget) if step < steps else image
        before, (gradient, _) = gradient, gradient_and_logits(network, moved, target)
        found = found + (before + gradient) / 2 * (moved - place)
        place = moved
    return found


def _least_first(place: Tensor, goal: Tensor, cost: Tensor, budget: Tensor) -> Tensor:
    """``place`` moved to ``goal`` where ``cost`` is least, by ``budget`` in all."""
    order = cost.flatten().argsort(stable=True)
    way = (goal - place).flatten()[order]
    room = budget - (way.abs().cumsum(0) - way.abs())
    moved = way * (room / way.abs().clamp_min(1e-12)).clamp(0, 1)
    found = place.flatten().clone()
    found[order] += moved
    return found.view_as(place)


@torch.no_grad()
def completeness_error(
    network: Network, pixels: Tensor, attribution: Tensor, target: Target | ResolvedOnce = None, **_: object
) -> Tensor:
    """The difference between the sum of ``attribution`` and that of the scores, as a fraction of the latter: (N,).

    The scores are those of the images and of their blurred copies, with which ``blur_integrated_gradients`` begins.
    """
    pixels = require_pixels(pixels, network.spec.channels).to(network.device)
    logits = logits_of(network, pixels, target)
    targets = targets_of(network, logits, target)
    blurred = torch.cat([_blurred(image, 1.0) for image in pixels.split(1)])
    difference = target_scores(network, logits, targets) - target_scores(network, network(blurred), targets)
    return relative_error(attribution, difference)
