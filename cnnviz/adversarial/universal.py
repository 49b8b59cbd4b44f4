"""Universal perturbations: one perturbation that changes the prediction for most images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from cnnviz.adversarial import norms
from cnnviz.adversarial.deepfool import deepfool
from cnnviz.adversarial.objective import likeliest, losses_of, scores_of
from cnnviz.adversarial.settings import UniversalSettings
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import differentiable, gradients, require_in_range, require_pixels
from cnnviz.network.network import Network
from cnnviz.runtime.memory import in_batches_that_fit
from cnnviz.runtime.precision import gradients_of
from cnnviz.runtime.progress import OnStep, Step

_BATCH = 16
_PART = 4  # images that go through the network together on a CPU; larger batches were no faster
MOST_PARTS = _BATCH // _PART
"""The number of parts of a batch, each of which may be computed by another worker."""

_SHIFT = 16  # largest random shift in pixels, in each direction
_MAX_LOSS = 9.0  # the loss of an image is clipped here, so that it stops contributing once it is fooled clearly


@dataclass(frozen=True)
class GradientPart:
    """Computes the gradient (1, 3, H, W) of a part's clipped loss, summed over its images, by the perturbation."""

    pixels: Tensor
    clean: Tensor
    perturbation: Tensor

    def __call__(self, network: Network) -> Tensor:
        with gradients():
            perturbation = differentiable(self.perturbation, network.device, network.spec.channels)
            scores = scores_of(network, (self.pixels.to(network.device) + perturbation).clamp(0, 1))
            loss = losses_of(network, scores, self.clean.to(network.device)).clamp(max=_MAX_LOSS).sum()
        return gradients_of(loss, perturbation)[0]


@dataclass(frozen=True)
class LabelPart:
    """Computes the predicted classes (N,) of a part's images."""

    pixels: Tensor

    def __call__(self, network: Network) -> Tensor:
        return predictions(network, self.pixels.to(network.device))


class Images(Protocol):
    """Images (N, 3, H, W), indexed by a slice or by indices: a tensor, or an object that reads them when needed."""

    @property
    def shape(self) -> torch.Size: ...

    def __len__(self) -> int: ...

    def __getitem__(self, which: slice | Tensor, /) -> Tensor: ...


Part = GradientPart | LabelPart

PartExecutor = Callable[[Sequence[Part]], Iterable[Tensor]]
"""Computes parts, here or on workers with the same network, and yields their results in order."""


@torch.inference_mode(False)
def universal_perturbation(
    network: Network,
    pixels: Tensor | Images,
    epsilon: float = UniversalSettings.epsilon,
    *,
    method: str = UniversalSettings.method,
    norm: str = UniversalSettings.norm,
    rate: float = UniversalSettings.rate,
    passes: int = UniversalSettings.passes,
    start: Tensor | None = None,
    seed: int = UniversalSettings.seed,
    on_step: OnStep | None = None,
    executor: PartExecutor | None = None,
) -> Tensor:
    """A universal perturbation (1, 3, H, W), to be added to any image of that size and clipped to [0, 1].

    ``gradient`` ascends the images' clipped cross-entropy loss by the sign of its gradient over batches: Shafahi,
    Najibi, Xu, Dickerson, Davis & Goldstein, "Universal Adversarial Training", AAAI 2020, arXiv:1811.11304. Unlike the
    paper, the images are shifted at random, so that a perturbation from few images generalizes, and the step size
    decreases.
    ``deepfool`` adds, image by image, the smallest change that fools the network on top of the perturbation so far, and
    projects: Moosavi-Dezfooli, Fawzi, Fawzi & Frossard, "Universal adversarial perturbations", CVPR 2017,
    arXiv:1610.08401. Unlike the paper, DeepFool minimizes the same norm as the ball's. It needs thousands of images.

    Args:
        network: the network to fool.
        pixels: (N, 3, H, W), RGB in [0, 1], the images to train on; those that are not a tensor are read 64 at a time.
        epsilon: the largest perturbation in ``norm``, in units of pixel value.
        method: ``gradient`` or ``deepfool``.
        norm: ``linf`` or ``l2``.
        rate: stop after the pass that reaches this fooling rate, in [0, 1].
        passes: the largest number of passes over the images.
        start: a perturbation (1, 3, H, W) to continue from; None for zero.
        seed: of the shifts and the order.
        on_step: called after every pass, with the fooling rate (``fooled``) and the perturbation as an image.
        executor: computes the parts of batches elsewhere, with the same result. ``gradient`` only.

    Returns:
        The perturbation (1, 3, H, W), in units of pixel value.

    Raises:
        UsageError: an unknown method or norm, a negative epsilon, no images or some outside [0, 1], a start of another
            shape, or an executor for ``deepfool``, whose every step needs the one before.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.universal_perturbation(network, pixels, passes=1).shape
        torch.Size([1, 3, 64, 96])
    """
    UniversalSettings(epsilon, norm, method, rate, passes, seed).validate()
    if len(pixels) == 0:
        raise UsageError("A universal perturbation needs at least one image to train on.")
    if method == "deepfool" and executor:
        raise UsageError("Each step of 'deepfool' needs the one before: it cannot be distributed.")
    pixels = _checked(network, pixels)
    device = network.device
    perturbation = torch.zeros(1, *pixels.shape[1:])
    if start is not None:
        perturbation = require_pixels(start, network.spec.channels)
    perturbation = perturbation.to(device)
    if perturbation.shape[1:] != pixels.shape[1:]:
        shapes = f"{tuple(perturbation.shape[2:])}, but the images are {tuple(pixels.shape[2:])}"
        raise UsageError(f"The perturbation to continue from is {shapes}.")
    runner = _PartRunner(network, executor or (lambda parts: (part(network) for part in parts)), bool(executor))
    clean = runner.labels(pixels)
    generator = torch.Generator().manual_seed(seed)
    for turn in range(1, passes + 1):
        one_pass = _gradient_pass if method == "gradient" else _deepfool_pass
        perturbation = one_pass(runner, pixels, clean, perturbation, epsilon, norm, turn / passes, generator)
        fooled = float((runner.labels(pixels, perturbation) != clean).float().mean())
        if on_step:
            on_step(Step(turn, passes, {"fooled": fooled}, lambda now=perturbation: now + 0.5))  # type: ignore[misc]
        if fooled >= rate:
            break
    return perturbation


@dataclass(frozen=True)
class _PartRunner:
    """Predictions and gradients, split into parts for an executor and put together again."""

    network: Network
    executor: PartExecutor
    is_remote: bool

    def labels(self, pixels: Images, perturbation: Tensor | None = None) -> Tensor:
        """The predicted class of each image, perturbed or not, (N,)."""
        found: list[Tensor] = []
        for some in _blocks(pixels, self.network.device):
            shown = some if perturbation is None else (some + perturbation).clamp(0, 1)
            found += self.executor([LabelPart(part) for part in shown.split(_BATCH)])
        return torch.cat([labels.to(self.network.device) for labels in found])

    def gradient(self, pixels: Tensor, clean: Tensor, perturbation: Tensor) -> Tensor:
        """The gradient of the mean loss by the perturbation; a local GPU takes a whole batch at once."""
        size = len(pixels) if self.network.device.type == "cuda" and not self.is_remote else _PART
        parts = zip(pixels.split(size), clean.split(size), strict=True)
        found = self.executor([GradientPart(some, labels, perturbation) for some, labels in parts])
        return sum((gradient.to(pixels) for gradient in found), torch.zeros_like(perturbation)) / len(pixels)


def _gradient_pass(
    runner: _PartRunner,
    pixels: Images,
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
        some = _at(pixels, chosen).to(clean.device).roll((down, right), (2, 3))
        gradient = runner.gradient(some, clean[chosen.to(clean.device)], perturbation)
        perturbation = norms.project(perturbation + step * norms.direction(gradient, norm), epsilon, norm)
    return perturbation


def _deepfool_pass(
    runner: _PartRunner,
    pixels: Images,
    clean: Tensor,
    perturbation: Tensor,
    epsilon: float,
    norm: str,
    progress: float,
    generator: torch.Generator,
) -> Tensor:
    """One pass of the 2017 algorithm over the images in random order."""
    labels = clean.tolist()
    for index in torch.randperm(len(pixels), generator=generator).tolist():
        image = pixels[index : index + 1].to(perturbation)
        perturbation = _improve(runner.network, image, labels[index], perturbation, epsilon, norm)
    return perturbation


def _improve(network: Network, image: Tensor, label: int, perturbation: Tensor, epsilon: float, norm: str) -> Tensor:
    """The perturbation, changed so that it fools the network on this image too, unless it does already."""
    perturbed = (image + perturbation).clamp(0, 1)
    fooled = deepfool(network, perturbed, label=label, norm=norm, overshoot=0.1, steps=10)
    return norms.project(perturbation + (fooled - perturbed), epsilon, norm)


def _checked(network: Network, pixels: Tensor | Images) -> Tensor | Images:
    """``pixels``; those in memory are checked to be in [0, 1]."""
    is_lazy = hasattr(pixels, "shape") and not isinstance(pixels, Tensor | np.ndarray)
    return pixels if is_lazy else require_in_range(pixels, network.spec.channels)


def _at(pixels: Images, chosen: Tensor) -> Tensor:
    """The images with those indices."""
    return pixels[chosen.to(pixels.device) if isinstance(pixels, Tensor) else chosen]


def _blocks(pixels: Images, device: torch.device) -> Iterator[Tensor]:
    """All images, in blocks as large as are computed together at most."""
    for start in range(0, len(pixels), MOST_PARTS * _BATCH):
        yield pixels[start : start + MOST_PARTS * _BATCH].to(device)


@torch.no_grad()
def predictions(network: Network, pixels: Tensor) -> Tensor:
    """The predicted class of each image, (N,)."""
    parts = in_batches_that_fit(lambda part: likeliest(network, scores_of(network, pixels[part])), len(pixels), _BATCH)
    return torch.cat(list(parts))


def fooled_by(network: Network, pixels: Tensor | Images, perturbation: Tensor) -> Tensor:
    """Whether the perturbation (1, 3, H, W) changes the predicted class of each image (N, 3, H, W): (N,) boolean."""
    pixels = _checked(network, pixels)
    changed = [
        predictions(network, (some + perturbation.to(some)).clamp(0, 1)) != predictions(network, some)
        for some in _blocks(pixels, network.device)
    ]
    return torch.cat(changed).cpu()


def fooling_rate(network: Network, pixels: Tensor | Images, perturbation: Tensor) -> float:
    """The fraction of images (N, 3, H, W) whose predicted class the perturbation (1, 3, H, W) changes, in [0, 1].

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.fooling_rate(network, pixels, torch.zeros(1, 3, 64, 96))
        0.0
    """
    return float(fooled_by(network, pixels, perturbation).float().mean())


def apply_perturbation(perturbation: Tensor, pixels: Tensor) -> Tensor:
    """Pixels (N, 3, H, W) with a perturbation (1, 3, h, w) added, repeated as tiles, and clipped to [0, 1].

    Apply it at the size the network sees: the resize of a larger image would average it away.
    """
    height, width = require_in_range(pixels, perturbation.shape[1]).shape[2:]
    repeats = -(-height // perturbation.shape[2]), -(-width // perturbation.shape[3])
    return (pixels + perturbation.to(pixels).repeat(1, 1, *repeats)[:, :, :height, :width]).clamp(0, 1)
