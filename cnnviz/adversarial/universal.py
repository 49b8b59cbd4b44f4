"""One perturbation that fools a network on most pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cnnviz.adversarial import norms
from cnnviz.adversarial.deepfool import deepfool
from cnnviz.adversarial.objective import scores_of
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import differentiable, gradients, require_in_range, require_pixels
from cnnviz.network.network import Network
from cnnviz.runtime.memory import in_batches_that_fit
from cnnviz.runtime.precision import gradients_of
from cnnviz.runtime.progress import OnStep, Step

METHODS = ("gradient", "deepfool")
_BATCH = 16
_PART = 4  # pictures that go through the network together on a CPU, where more gain nothing
MOST_PARTS = _BATCH // _PART
"""Parts of a batch, each of which may be computed somewhere else."""

_SHIFT = 16  # pixels, at most, in each direction
_ENOUGH = 9.0  # the loss at which a picture counts as fooled for good


@dataclass(frozen=True)
class GradientPart:
    """A part of a batch: its clipped loss's gradient by the perturbation (1, 3, H, W), summed over the pictures."""

    pixels: Tensor
    clean: Tensor
    perturbation: Tensor

    def __call__(self, network: Network) -> Tensor:
        with gradients():
            perturbation = differentiable(self.perturbation, network.device)
            scores = scores_of(network, (self.pixels.to(network.device) + perturbation).clamp(0, 1))
            losses = F.cross_entropy(scores, self.clean.to(network.device), reduction="none")
            # Pictures long since fooled no longer pull.
            loss = losses.clamp(max=_ENOUGH).sum()
        return gradients_of(loss, perturbation)[0]


@dataclass(frozen=True)
class LabelPart:
    """The class the network takes each of some pictures for, (N,)."""

    pixels: Tensor

    def __call__(self, network: Network) -> Tensor:
        return predictions(network, self.pixels.to(network.device))


class Pictures(Protocol):
    """Many pictures (N, 3, H, W), taken by a slice or by indices: a tensor, or what reads them when they are needed."""

    @property
    def shape(self) -> torch.Size: ...

    def __len__(self) -> int: ...

    def __getitem__(self, which: slice | Tensor, /) -> Tensor: ...


Part = GradientPart | LabelPart

PartExecutor = Callable[[Sequence[Part]], Iterable[Tensor]]
"""Does parts, with the same network as here, and gives their results in order."""


@torch.inference_mode(False)
def universal_perturbation(
    network: Network,
    pixels: Tensor | Pictures,
    epsilon: float = 10 / 255,
    *,
    method: str = "gradient",
    norm: str = "linf",
    rate: float = 0.95,
    passes: int = 30,
    start: Tensor | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
    computed: PartExecutor | None = None,
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
        pixels: (N, 3, H, W), the pictures to learn from; what is no tensor is read 64 at a time.
        epsilon: the largest perturbation in ``norm``, in units of pixel value.
        method: ``gradient`` or ``deepfool``.
        norm: ``linf`` or ``l2``.
        rate: stop after the pass that fools this share of the pictures.
        passes: at most so many passes over them.
        start: a perturbation (1, 3, H, W) to go on from; zero if None.
        seed: of the shifts and the order.
        on_step: called after every pass, with the share fooled and a way to see the perturbation.
        computed: where batches are computed, part by part, if not here; the result is the same. ``gradient`` only.

    Returns:
        A perturbation (1, 3, H, W), to be added to any picture of that size and clipped to [0, 1].

    Raises:
        UsageError: an unknown method or norm, a negative epsilon, no pictures or such outside [0, 1], a start of
            another shape, or parts computed elsewhere of a method whose every step needs the one before.
    """
    norms.check(norm, epsilon)
    if method not in METHODS:
        raise UsageError(f"There is no method '{method}'; give {' or '.join(METHODS)}.")
    if len(pixels) == 0:
        raise UsageError("A universal perturbation needs at least one picture to learn from.")
    if method == "deepfool" and computed:
        raise UsageError("Each step of 'deepfool' needs the one before: it is computed in one place.")
    pixels = _checked(pixels)
    device = network.device
    perturbation = torch.zeros(1, *pixels.shape[1:]) if start is None else require_pixels(start)
    perturbation = perturbation.to(device)
    if perturbation.shape[1:] != pixels.shape[1:]:
        shapes = f"{tuple(perturbation.shape[2:])}, but the pictures are {tuple(pixels.shape[2:])}"
        raise UsageError(f"The perturbation to go on from is {shapes}.")
    school = _PartRunner(network, computed or (lambda parts: (part(network) for part in parts)), bool(computed))
    clean = school.labels(pixels)
    generator = torch.Generator().manual_seed(seed)
    for turn in range(1, passes + 1):
        one_pass = _climb if method == "gradient" else _add_up
        perturbation = one_pass(school, pixels, clean, perturbation, epsilon, norm, turn / passes, generator)
        fooled = float((school.labels(pixels, perturbation) != clean).float().mean())
        if on_step:
            on_step(Step(turn, passes, {"fooled": fooled}, lambda now=perturbation: now + 0.5))  # type: ignore[misc]
        if fooled >= rate:
            break
    return perturbation


@dataclass(frozen=True)
class _PartRunner:
    """What is asked of the network, in parts that may be computed anywhere and whose results are put together here."""

    network: Network
    computed: PartExecutor
    is_elsewhere: bool

    def labels(self, pixels: Pictures, perturbation: Tensor | None = None) -> Tensor:
        """What the network says of each picture, perturbed or not, (N,)."""
        found: list[Tensor] = []
        for some in _blocks(pixels, self.network.device):
            shown = some if perturbation is None else (some + perturbation).clamp(0, 1)
            found += self.computed([LabelPart(part) for part in shown.split(_BATCH)])
        return torch.cat([labels.to(self.network.device) for labels in found])

    def slope(self, pixels: Tensor, clean: Tensor, perturbation: Tensor) -> Tensor:
        """The gradient of the mean loss by the perturbation. A GPU of one's own takes a batch at once."""
        size = len(pixels) if self.network.device.type == "cuda" and not self.is_elsewhere else _PART
        parts = zip(pixels.split(size), clean.split(size), strict=True)
        found = self.computed([GradientPart(some, labels, perturbation) for some, labels in parts])
        return sum((slope.to(pixels) for slope in found), torch.zeros_like(perturbation)) / len(pixels)


def _climb(
    school: _PartRunner,
    pixels: Pictures,
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
        slope = school.slope(some, clean[chosen.to(clean.device)], perturbation)
        perturbation = norms.project(perturbation + step * norms.direction(slope, norm), epsilon, norm)
    return perturbation


def _add_up(
    school: _PartRunner,
    pixels: Pictures,
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
        picture = pixels[index : index + 1].to(perturbation)
        perturbation = _improve(school.network, picture, labels[index], perturbation, epsilon, norm)
    return perturbation


def _improve(network: Network, picture: Tensor, label: int, perturbation: Tensor, epsilon: float, norm: str) -> Tensor:
    """The perturbation, changed so that this picture too is fooled (unless it is already, or cannot be)."""
    perturbed = (picture + perturbation).clamp(0, 1)
    fooled = deepfool(network, perturbed, label=label, norm=norm, overshoot=0.1, steps=10)
    return norms.project(perturbation + (fooled - perturbed), epsilon, norm)


def _checked(pixels: Tensor | Pictures) -> Tensor | Pictures:
    """``pixels``, having made sure that they are in [0, 1] where they are here already."""
    is_lazy = hasattr(pixels, "shape") and not isinstance(pixels, Tensor | np.ndarray)
    return pixels if is_lazy else require_in_range(pixels)


def _at(pixels: Pictures, chosen: Tensor) -> Tensor:
    """The pictures with those indices."""
    return pixels[chosen.to(pixels.device) if isinstance(pixels, Tensor) else chosen]


def _blocks(pixels: Pictures, device: torch.device) -> Iterator[Tensor]:
    """All pictures, so many at a time as are computed together at most."""
    for start in range(0, len(pixels), MOST_PARTS * _BATCH):
        yield pixels[start : start + MOST_PARTS * _BATCH].to(device)


@torch.no_grad()
def predictions(network: Network, pixels: Tensor) -> Tensor:
    """The class the network takes each picture for, (N,)."""
    parts = in_batches_that_fit(lambda part: scores_of(network, pixels[part]).argmax(1), len(pixels), _BATCH)
    return torch.cat(list(parts))


def fooled_by(network: Network, pixels: Tensor | Pictures, perturbation: Tensor) -> Tensor:
    """Of which pictures (N, 3, H, W) the perturbation (1, 3, H, W) changes the predicted class: (N,), boolean."""
    pixels = _checked(pixels)
    changed = [
        predictions(network, (some + perturbation.to(some)).clamp(0, 1)) != predictions(network, some)
        for some in _blocks(pixels, network.device)
    ]
    return torch.cat(changed).cpu()


def fooling_rate(network: Network, pixels: Tensor | Pictures, perturbation: Tensor) -> float:
    """The share of pictures (N, 3, H, W) whose predicted class the perturbation (1, 3, H, W) changes, in [0, 1]."""
    return float(fooled_by(network, pixels, perturbation).float().mean())


def apply_perturbation(perturbation: Tensor, pixels: Tensor) -> Tensor:
    """Pixels (N, 3, H, W) with a perturbation (1, 3, h, w) added, repeated like tiles where they are larger.

    It acts pixel by pixel at the size the network sees: laid over a larger photo, the resize would average it away.
    """
    height, width = require_in_range(pixels).shape[2:]
    repeats = -(-height // perturbation.shape[2]), -(-width // perturbation.shape[3])
    return (pixels + perturbation.to(pixels).repeat(1, 1, *repeats)[:, :, :height, :width]).clamp(0, 1)
