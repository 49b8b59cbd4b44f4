"""One perturbation that fools a network on most pictures."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from cnnviz.adversarial import norms
from cnnviz.adversarial.boundary import deepfool
from cnnviz.errors import UsageError
from cnnviz.network import Network
from cnnviz.runtime.memory import in_batches_that_fit
from cnnviz.runtime.progress import OnStep, Step

METHODS = ("gradient", "deepfool")
_BATCH = 16
_SHIFT = 16  # pixels, at most, in each direction
_ENOUGH = 9.0  # the loss at which a picture counts as fooled for good


def universal_perturbation(
    network: Network,
    pixels: Tensor,
    epsilon: float = 10 / 255,
    *,
    method: str = "gradient",
    norm: str = "linf",
    rate: float = 0.95,
    passes: int = 30,
    start: Tensor | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Tensor:
    """One perturbation that changes what the network says of most pictures.

    ``gradient`` climbs the pictures' clipped cross-entropy loss together, by the sign of its gradient over batches:
    Shafahi, Najibi, Xu, Dickerson, Davis & Goldstein, "Universal Adversarial Training", AAAI 2020, arXiv:1811.11304;
    opposed to the paper the pictures are shifted at random, so that few of them generalise, and the step shrinks.
    ``deepfool`` adds up, picture by picture, the smallest change that fools the network on top of what is there, and
    projects: Moosavi-Dezfooli, Fawzi, Fawzi & Frossard, "Universal adversarial perturbations", CVPR 2017,
    arXiv:1610.08401; opposed to the paper DeepFool measures in the norm of the ball. It wants thousands of pictures.

    Args:
        network: the network to fool.
        pixels: (N, 3, H, W), the pictures to learn from.
        epsilon: the largest perturbation in ``norm``, in units of pixel value.
        method: ``gradient`` or ``deepfool``.
        norm: ``linf`` or ``l2``.
        rate: stop after the pass that fools this share of the pictures.
        passes: at most so many passes over them.
        start: a perturbation (1, 3, H, W) to go on from; zero if None.
        seed: of the shifts and the order.
        on_step: called after every pass, with the share fooled and a way to see the perturbation.

    Returns:
        A perturbation (1, 3, H, W), to be added to any picture of that size and clipped to [0, 1].

    Raises:
        UsageError: an unknown method or norm, a negative epsilon, no pictures, or a start of another shape.
    """
    norms.check(norm, epsilon)
    if method not in METHODS:
        raise UsageError(f"There is no method '{method}'; give {' or '.join(METHODS)}.")
    if len(pixels) == 0:
        raise UsageError("A universal perturbation needs at least one picture to learn from.")
    pixels = pixels.to(network.device)
    perturbation = torch.zeros_like(pixels[:1]) if start is None else start.to(pixels)
    if perturbation.shape != pixels[:1].shape:
        shapes = f"{tuple(perturbation.shape[2:])}, but the pictures are {tuple(pixels.shape[2:])}"
        raise UsageError(f"The perturbation to go on from is {shapes}.")
    clean = labels_of(network, pixels)
    generator = torch.Generator().manual_seed(seed)
    for turn in range(1, passes + 1):
        one_pass = _climb if method == "gradient" else _add_up
        perturbation = one_pass(network, pixels, clean, perturbation, epsilon, norm, turn / passes, generator)
        fooled = float((predictions(network, (pixels + perturbation).clamp(0, 1)) != clean).float().mean())
        if on_step:
            on_step(Step(turn, passes, {"fooled": fooled}, lambda now=perturbation: now + 0.5))  # type: ignore[misc]
        if fooled >= rate:
            break
    return perturbation


def labels_of(network: Network, pixels: Tensor) -> Tensor:
    """What the network says of each picture, having made sure that it could say something else."""
    if network.classes < 2:
        raise UsageError(f"{network.name} has one class only; there is nothing else it could be fooled into saying.")
    return predictions(network, pixels)


def _climb(
    network: Network,
    pixels: Tensor,
    clean: Tensor,
    perturbation: Tensor,
    epsilon: float,
    norm: str,
    progress: float,
    generator: torch.Generator,
) -> Tensor:
    """One pass of signed gradient ascent over shuffled, shifted batches."""
    step = epsilon * (0.11 - 0.1 * progress)
    for chosen in torch.randperm(len(pixels), generator=generator).split(_BATCH):
        down, right = torch.randint(-_SHIFT, _SHIFT + 1, (2,), generator=generator).tolist()
        shifted = pixels[chosen.to(pixels.device)].roll((down, right), (2, 3))
        gradient = _clipped_loss_gradient(network, shifted, clean[chosen.to(clean.device)], perturbation)
        perturbation = norms.project(perturbation + step * norms.direction(gradient, norm), epsilon, norm)
    return perturbation


def _clipped_loss_gradient(network: Network, pixels: Tensor, clean: Tensor, perturbation: Tensor) -> Tensor:
    """The gradient of the mean loss with respect to the perturbation; pictures long since fooled no longer pull."""
    perturbation = perturbation.detach().requires_grad_()
    with torch.enable_grad():
        logits = network((pixels + perturbation).clamp(0, 1))
        loss = F.cross_entropy(logits, clean, reduction="none").clamp(max=_ENOUGH).mean()
    return torch.autograd.grad(loss, perturbation)[0]


def _add_up(
    network: Network,
    pixels: Tensor,
    clean: Tensor,
    perturbation: Tensor,
    epsilon: float,
    norm: str,
    progress: float,
    generator: torch.Generator,
) -> Tensor:
    """One pass of the 2017 algorithm over the pictures in random order."""
    labels = clean.tolist()
    for index in torch.randperm(len(pixels), generator=generator).tolist():
        perturbation = _improve(network, pixels[index : index + 1], labels[index], perturbation, epsilon, norm)
    return perturbation


def _improve(network: Network, picture: Tensor, label: int, perturbation: Tensor, epsilon: float, norm: str) -> Tensor:
    """The perturbation, changed so that this picture too is fooled (unless it is already, or cannot be)."""
    perturbed = (picture + perturbation).clamp(0, 1)
    fooled = deepfool(network, perturbed, label=label, norm=norm, overshoot=0.1, steps=10)
    return norms.project(perturbation + (fooled - perturbed), epsilon, norm)


@torch.no_grad()
def predictions(network: Network, pixels: Tensor) -> Tensor:
    """The class the network takes each picture for, (N,)."""
    parts = in_batches_that_fit(lambda part: network(pixels[part]).argmax(1), len(pixels), _BATCH)
    return torch.cat(list(parts))


def fooling_rate(network: Network, pixels: Tensor, perturbation: Tensor) -> float:
    """The share of pictures (N, 3, H, W) whose predicted class the perturbation (1, 3, H, W) changes, in [0, 1]."""
    pixels = pixels.to(network.device)
    changed = predictions(network, (pixels + perturbation.to(pixels)).clamp(0, 1)) != predictions(network, pixels)
    return float(changed.float().mean())


def lay_over(perturbation: Tensor, pixels: Tensor) -> Tensor:
    """Pixels (N, 3, H, W) with a perturbation (1, 3, h, w) added, repeated like tiles where they are larger.

    It acts pixel by pixel at the size the network sees: laid over a larger photo, the resize would average it away.
    """
    height, width = pixels.shape[2:]
    repeats = -(-height // perturbation.shape[2]), -(-width // perturbation.shape[3])
    return (pixels + perturbation.to(pixels).repeat(1, 1, *repeats)[:, :, :height, :width]).clamp(0, 1)
