"""The fast gradient sign method, the basic iterative method, and projected gradient descent."""

from __future__ import annotations

import torch
from torch import Tensor

from cnnviz.adversarial import norms
from cnnviz.adversarial.objective import Through, identity, labels_of, loss_gradient
from cnnviz.adversarial.settings import Attack, check_norm
from cnnviz.imaging.checks import require_in_range
from cnnviz.network.network import Network
from cnnviz.network.targets import Target
from cnnviz.runtime.progress import OnStep, Step


@torch.inference_mode(False)
def fgsm(
    network: Network,
    pixels: Tensor,
    epsilon: float = Attack.epsilon,
    *,
    target: Target = None,
    label: Target = None,
    through: Through = identity,
) -> Tensor:
    """One step of size ``epsilon`` along the sign of the loss's gradient: x + ε · sign(∇ₓ loss(x, label)).

    Goodfellow, Shlens & Szegedy, "Explaining and Harnessing Adversarial Examples", ICLR 2015, arXiv:1412.6572. With
    a target, the step goes down the target's loss instead (Kurakin et al., arXiv:1611.01236), which seldom suffices
    in one step.

    Args:
        network: the network to fool.
        pixels: (N, 3, H, W), RGB in [0, 1].
        epsilon: the largest change of any value, in units of pixel value.
        target: the class to be classified as; None for any class but ``label``.
        label: the class to move away from; None for the predicted class. Unused with a target.
        through: from pixels to what the network sees, differentiable.

    Returns:
        Adversarial pixels (N, 3, H, W) in [0, 1], not rounded to 8 bits.

    Raises:
        UsageError: no such class, a negative epsilon, or pixels outside [0, 1].

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> float((cnnviz.fgsm(network, pixels, 2 / 255) - pixels).abs().max()) <= 2.01 / 255
        True
    """
    check_norm("linf", epsilon)
    pixels = require_in_range(pixels, network.spec.channels).to(network.device)
    labels = labels_of(network, pixels, label if target is None else target, through)
    sign = 1 if target is None else -1
    return (pixels + sign * epsilon * loss_gradient(network, pixels, labels, through).sign()).clamp(0, 1)


@torch.inference_mode(False)
def iterative_fgsm(
    network: Network,
    pixels: Tensor,
    epsilon: float = 8 / 255,
    *,
    target: Target = None,
    label: Target = None,
    steps: int = Attack.steps,
    step_size: float | None = None,
    norm: str = Attack.norm,
    random_start: bool = False,
    seed: int = 0,
    through: Through = identity,
    on_step: OnStep | None = None,
) -> Tensor:
    """Adversarial pixels by many small steps, each projected to the ball of radius ``epsilon``.

    The basic iterative method of Kurakin, Goodfellow & Bengio, "Adversarial examples in the physical world", ICLR
    workshop 2017, arXiv:1607.02533; with ``random_start`` it is projected gradient descent, Madry et
    al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018, arXiv:1706.06083.

    Args:
        network: the network to fool.
        pixels: (N, 3, H, W), RGB in [0, 1].
        epsilon: the largest perturbation in ``norm``, in units of pixel value.
        target: the class to be classified as; None for any class but ``label``.
        label: the class to move away from; None for the predicted class. Unused with a target.
        steps: the number of steps.
        step_size: the size of each in ``norm``; None for 2.5 · epsilon / steps, as in Madry's experiments, so that the
            border of the ball can be reached from anywhere in it.
        norm: ``linf`` or ``l2``.
        random_start: start at a random point of the ball, drawn from ``seed``, instead of at ``pixels``.
        through: from pixels to what the network sees, differentiable.
        on_step: called after every step.

    Returns:
        Adversarial pixels (N, 3, H, W) in [0, 1], not rounded to 8 bits.

    Raises:
        UsageError: no such class or norm, a negative epsilon, or pixels outside [0, 1].

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.iterative_fgsm(network, pixels, target="flamingo", steps=2).shape
        torch.Size([1, 3, 64, 96])
    """
    check_norm(norm, epsilon)
    pixels = require_in_range(pixels, network.spec.channels).to(network.device)
    labels = labels_of(network, pixels, label if target is None else target, through)
    step_size = (2.5 * epsilon / steps if step_size is None else step_size) * (1 if target is None else -1)
    adversarial = pixels
    if random_start:
        generator = torch.Generator().manual_seed(seed)
        adversarial = (pixels + norms.random_start(pixels, epsilon, norm, generator)).clamp(0, 1)
    for step in range(1, steps + 1):
        gradient = loss_gradient(network, adversarial, labels, through)
        moved = adversarial + step_size * norms.direction(gradient, norm)
        adversarial = (pixels + norms.project(moved - pixels, epsilon, norm)).clamp(0, 1)
        if on_step:
            on_step(Step(step, steps, image=lambda now=adversarial: now))  # type: ignore[misc]
    return adversarial
