"""One perturbation that fools a network on most pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from cnnviz.adversarial import norms
from cnnviz.adversarial.deepfool import deepfool
from cnnviz.errors import UsageError
from cnnviz.network import Network
from cnnviz.runtime.progress import OnStep, Step

_BATCH = 16


def universal_perturbation(
    network: Network,
    pixels: Tensor,
    epsilon: float = 10 / 255,
    *,
    norm: str = "linf",
    rate: float = 0.8,
    passes: int = 10,
    start: Tensor | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Add up, picture by picture, the smallest change that fools the network on top of what is there, and project.

    Moosavi-Dezfooli, Fawzi, Fawzi & Frossard, "Universal adversarial perturbations", CVPR 2017, arXiv:1610.08401.
    Opposed to the paper the order of the pictures is fixed, and DeepFool measures in the norm of the ball, since an
    L2-minimal step spends an L-infinity ball badly.

    Args:
        network: the network to fool.
        pixels: (N, 3, H, W), the pictures to learn from.
        epsilon: the largest perturbation in ``norm``, in units of pixel value.
        norm: ``linf`` or ``l2``.
        rate: stop once this share of the pictures is fooled.
        passes: at most so many passes over them.
        start: a perturbation (1, 3, H, W) to go on from; zero if None.
        on_step: called after every picture, with the rate after the last pass and the perturbation so far.

    Returns:
        A perturbation (1, 3, H, W), to be added to any picture of that size and clipped to [0, 1].

    Raises:
        UsageError: an unknown norm, a negative epsilon, no pictures, or a start of another shape.
    """
    norms.check(norm, epsilon)
    if len(pixels) == 0:
        raise UsageError("A universal perturbation needs at least one picture to learn from.")
    pixels = pixels.to(network.device)
    perturbation = torch.zeros_like(pixels[:1]) if start is None else start.to(pixels)
    if perturbation.shape != pixels[:1].shape:
        shapes = f"{tuple(perturbation.shape[2:])}, but the pictures are {tuple(pixels.shape[2:])}"
        raise UsageError(f"The perturbation to go on from is {shapes}.")
    clean = predictions(network, pixels)
    reached = float((predictions(network, (pixels + perturbation).clamp(0, 1)) != clean).float().mean())
    for turn in range(passes):
        if reached >= rate:
            break
        for index in range(len(pixels)):
            perturbation = _improve(network, pixels[index : index + 1], clean[index], perturbation, epsilon, norm)
            if on_step:
                done = turn * len(pixels) + index + 1
                shown = (perturbation / (2 * max(epsilon, 1e-12)) + 0.5) if norm == "linf" else perturbation + 0.5
                on_step(Step(done, passes * len(pixels), {"fooled": reached}, lambda now=shown: now))  # type: ignore[misc]
        reached = float((predictions(network, (pixels + perturbation).clamp(0, 1)) != clean).float().mean())
    return perturbation


def _improve(
    network: Network, picture: Tensor, clean: Tensor, perturbation: Tensor, epsilon: float, norm: str
) -> Tensor:
    """The perturbation, changed so that this picture too is fooled (unless it is already, or cannot be)."""
    perturbed = (picture + perturbation).clamp(0, 1)
    fooled = deepfool(network, perturbed, label=int(clean), norm=norm, overshoot=0.1, steps=10)
    return norms.project(perturbation + (fooled - perturbed), epsilon, norm)


@torch.no_grad()
def predictions(network: Network, pixels: Tensor) -> Tensor:
    """The class the network takes each picture for, (N,)."""
    return torch.cat([network(batch).argmax(1) for batch in pixels.split(_BATCH)])


def fooling_rate(network: Network, pixels: Tensor, perturbation: Tensor) -> float:
    """The share of pictures (N, 3, H, W) whose predicted class the perturbation (1, 3, H, W) changes, in [0, 1]."""
    pixels = pixels.to(network.device)
    changed = predictions(network, (pixels + perturbation.to(pixels)).clamp(0, 1)) != predictions(network, pixels)
    return float(changed.float().mean())
