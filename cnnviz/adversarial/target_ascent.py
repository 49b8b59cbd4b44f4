"""Fooling images by gradient ascent on a class's score."""

from __future__ import annotations

import torch
from torch import Tensor

from cnnviz.adversarial import norms
from cnnviz.adversarial.objective import Through, identity, labels_of, score_gradient, succeeded
from cnnviz.adversarial.settings import check_norm
from cnnviz.imaging.checks import require_in_range
from cnnviz.network.network import Network
from cnnviz.network.targets import Target
from cnnviz.runtime.progress import OnStep, Step


@torch.inference_mode(False)
def fooling_image(
    network: Network,
    pixels: Tensor,
    target: Target,
    *,
    step_size: float = 0.5,
    steps: int = 200,
    epsilon: float | None = None,
    extra: int = 5,
    through: Through = identity,
    on_step: OnStep | None = None,
) -> Tensor:
    """Pixels classified as ``target``, by ascent on its score in steps of fixed L2 length.

    The recipe of the Stanford course CS231n, after Szegedy et al., "Intriguing properties of neural networks", ICLR
    2014, arXiv:1312.6199. From noise it gives the unrecognizable images of Nguyen, Yosinski & Clune,
    "Deep Neural Networks are Easily Fooled", CVPR 2015, arXiv:1412.1897.

    Args:
        network: the network to fool.
        pixels: (N, 3, H, W) to start from, RGB in [0, 1]: images or noise.
        target: the class to be classified as.
        step_size: L2 length of each step, in units of pixel value.
        steps: the largest number of steps.
        epsilon: the largest L2 norm of the perturbation; None for no limit.
        extra: steps taken after success, so that rounding to 8 bits does not undo it.
        through: from pixels to what the network sees, differentiable.
        on_step: called after every step.

    Returns:
        Pixels (N, 3, H, W) in [0, 1].

    Raises:
        UsageError: no such class, a negative epsilon, or pixels outside [0, 1].

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.fooling_image(network, pixels, "flamingo", steps=2).shape
        torch.Size([1, 3, 64, 96])
    """
    check_norm("l2", epsilon or 0)
    pixels = require_in_range(pixels, network.spec.channels).to(network.device)
    labels = labels_of(network, pixels, target, through)
    current, since = pixels, torch.zeros(len(pixels), dtype=torch.int64, device=pixels.device)
    for step in range(1, steps + 1):
        since += succeeded(network, through(current), labels, targeted=True)
        going = since <= extra
        if not going.any():
            break
        step_up = step_size * norms.direction(score_gradient(network, current, labels, through), "l2")
        moved = current + step_up * going.view(-1, 1, 1, 1)
        if epsilon is not None:
            moved = pixels + norms.project(moved - pixels, epsilon, "l2")
        current = moved.clamp(0, 1)
        if on_step:
            on_step(Step(step, steps, image=lambda now=current: now))  # type: ignore[misc]
    return current
