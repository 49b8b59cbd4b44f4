"""What an attribution explains of each image: a class's logit, its difference from another's, or any function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.imaging.checks import warn_if_out_of_range
from cnnviz.network.network import Network
from cnnviz.network.prediction import Prediction
from cnnviz.network.targets import Target, TargetFunction, Versus, negated, plain

__all__ = [
    "Against",
    "Contrast",
    "Explanation",
    "ResolvedOnce",
    "Target",
    "TargetFunction",
    "Versus",
    "explanations_of",
    "logits_of",
    "measures",
    "predict_target",
    "predict_targets",
    "resolved_targets",
    "target_scores",
    "targets_of",
]


@dataclass(frozen=True)
class Against:
    """What speaks against a class: its logit, negated, as a function of logits (N, classes)."""

    index: int

    def __call__(self, logits: Tensor) -> Tensor:
        return -logits[:, self.index]


@dataclass(frozen=True)
class Contrast:
    """Why class ``index`` and not class ``other``: the difference of their logits, as a function of (N, classes).

    By a softmax that is the logarithm of how many times likelier ``index`` is.
    """

    index: int
    other: int

    def __call__(self, logits: Tensor) -> Tensor:
        return logits[:, self.index] - logits[:, self.other]


@dataclass(frozen=True)
class Explanation:
    """The class that the network predicts for an image, and the class that is explained.

    Attributes:
        predicted, target: the two classes; of a function of the logits its name and score, with the index -1.
        against: whether what speaks against ``target`` is explained.
        is_probability: whether scores of classes are probabilities, not plain values.
        function: the function that is explained in place of a class.
        versus: the class that ``target`` is compared with, if there is one.
    """

    predicted: Prediction
    target: Prediction
    against: bool = False
    is_probability: bool = True
    function: TargetFunction | None = None
    versus: Prediction | None = None

    @property
    def explained(self) -> int | TargetFunction:
        """What is explained, as the attribution methods take it."""
        if self.function is not None:
            return self.function
        if self.versus is not None:
            return Contrast(self.target.index, self.versus.index)
        return Against(self.target.index) if self.against else self.target.index

    @property
    def name(self) -> str:
        """The name of what is explained: ``tabby``, ``against tabby``, or ``tabby versus lynx``."""
        if self.versus is not None:
            return f"{self.target.label} versus {self.versus.label}"
        return f"against {self.target.label}" if self.against else self.target.label


@dataclass(eq=False)
class ResolvedOnce:
    """A target that keeps the logits of the first pass that it is resolved by.

    A method takes it as any other target, and its own pass then tells what was predicted, too. Later methods resolve it
    by the logits that are kept, so that all explain the same.

    Attributes:
        target: what is explained.
        logits: (N, classes); None before the first pass.
    """

    target: Target = None
    logits: Tensor | None = None

    @classmethod
    def of(cls, target: Target | ResolvedOnce) -> ResolvedOnce:
        """``target`` itself if it keeps logits already."""
        return target if isinstance(target, ResolvedOnce) else cls(target)

    def resolved(self, network: Network, logits: Tensor) -> list[int | TargetFunction]:
        """What is explained of each image, by the logits kept, which are these if there are none yet."""
        self.logits = logits.detach() if self.logits is None else self.logits
        return targets_of(network, self.logits, self.target)

    def explanations(self, network: Network, pixels: Tensor) -> list[Explanation]:
        """What is predicted and explained of each image of ``pixels`` (N, C, H, W), by a pass if none was kept."""
        return explanations_of(network, logits_of(network, pixels, self), self.target)


def targets_of(network: Network, logits: Tensor, target: Target | ResolvedOnce) -> list[int | TargetFunction]:
    """What is explained of each image by its ``logits`` (N, classes): a class index, or a function of logits.

    Raises UsageError for an unknown class, or another number of classes than of images.
    """
    if isinstance(target, ResolvedOnce):
        return target.resolved(network, logits)
    if target is None:
        return logits.detach().argmax(dim=1).tolist()
    found = plain(target)
    if isinstance(found, Versus):
        return _contrasts(network, targets_of(network, logits, found.target), found.other)
    if not isinstance(found, list):
        return [_one_target(network, found)] * len(logits)
    each = [_one_target(network, one) for one in found]
    if len(each) != len(logits):
        raise UsageError(f"{len(each)} classes were given for {len(logits)} images.")
    return each


def _one_target(network: Network, wanted: Target) -> int | TargetFunction:
    if callable(wanted) and not isinstance(wanted, type):
        return wanted
    if isinstance(wanted, Versus):
        if wanted.target is None:
            raise UsageError("Name both classes of a Versus in a list of targets.")
        return _contrasts(network, [_one_target(network, wanted.target)], wanted.other)[0]
    opposed = negated(network.labels or (), wanted) if isinstance(wanted, str) else None
    return network.find_class(wanted) if opposed is None else Against(network.find_class(opposed))  # type: ignore[arg-type]


def _contrasts(network: Network, found: Sequence[int | TargetFunction], other: int | str) -> list[int | TargetFunction]:
    """Each class of ``found`` compared with ``other``. UsageError where one is no class."""
    if not all(isinstance(each, int) for each in found):
        raise UsageError("Only a class is compared with another, not what speaks against one nor a function.")
    opposed = negated(network.labels or (), other) if isinstance(other, str) else None
    if opposed is not None:
        raise UsageError(f"A class is compared with another, as '{opposed}', not with what speaks against it.")
    against = network.find_class(other)
    return [Contrast(each, against) for each in found if isinstance(each, int)]


def target_scores(network: Network, logits: Tensor, target: Target | ResolvedOnce) -> Tensor:
    """The score that is explained of each image, (N,): its target's logit, or what a function makes of its logits.

    Raises UsageError where a function gives anything else than a score for each image.
    """
    found = targets_of(network, logits, target)
    if all(isinstance(each, int) for each in found):
        return logits.gather(1, torch.tensor(found, device=logits.device)[:, None])[:, 0]
    if all(each == found[0] for each in found):
        return _computed(found[0], logits)
    return torch.cat([target_scores(network, *pair) for pair in zip(logits.split(1), found, strict=True)])


def _computed(function: int | TargetFunction, logits: Tensor) -> Tensor:
    """The scores (N,) that a function makes of logits, checked."""
    assert callable(function)
    scores = function(logits)
    if not isinstance(scores, Tensor) or scores.shape != logits.shape[:1] or not scores.is_floating_point():
        given = (
            f"the shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else f"the type {type(scores).__name__}"
        )
        raise UsageError(
            f"A target's function makes a score for each image, floats of the shape ({len(logits)},), of logits of the "
            f"shape {tuple(logits.shape)}; this one gives {given}."
        )
    if logits.requires_grad and torch.is_grad_enabled() and not scores.requires_grad:
        raise UsageError("The score of a target's function has no gradient with respect to the logits it is given.")
    return scores


def measures(network: Network, logits: Tensor, target: int | TargetFunction) -> Tensor:
    """The target's probability, (N,), by logits (N, classes); of what speaks against a class, that it is another.

    Of a class compared with another the probability were there only the two. Of a network without probabilities its
    value, or that negated; of other functions their score.
    """
    if isinstance(target, int):
        return network.probabilities(logits)[:, target]
    if isinstance(target, Contrast) and network.has_probabilities:
        return target(logits).sigmoid()
    if not isinstance(target, Against):
        return _computed(target, logits)
    found = network.probabilities(logits)[:, target.index]
    return 1 - found if network.has_probabilities else -found


def resolved_targets(network: Network, pixels: Tensor, target: Target | ResolvedOnce) -> list[int | TargetFunction]:
    """What is explained of each image of ``pixels`` (N, C, H, W); of the predicted class its index if None.

    A pass through the network is taken only where what is explained depends on what it predicts.
    """
    if isinstance(target, ResolvedOnce) or _is_of_prediction(target):
        return targets_of(network, logits_of(network, pixels, target), target)
    warn_if_out_of_range(pixels)
    return targets_of(network, pixels, target)  # only the number of rows counts


def _is_of_prediction(target: Target) -> bool:
    return target is None or (isinstance(target, Versus) and target.target is None)


@torch.no_grad()
def logits_of(network: Network, pixels: Tensor, target: Target | ResolvedOnce = None) -> Tensor:
    """The logits (N, classes) of ``pixels`` (N, C, H, W): those that ``target`` keeps, or those of a pass."""
    if not isinstance(target, ResolvedOnce):
        return network(pixels)
    if target.logits is None:
        target.logits = network(pixels)
    return target.logits


def each_image(
    network: Network, pixels: Tensor, target: Target | ResolvedOnce
) -> list[tuple[Tensor, int | TargetFunction]]:
    """Each image (1, C, H, W) of ``pixels`` (N, C, H, W), and what is explained of it."""
    return list(zip(pixels.split(1), resolved_targets(network, pixels, target), strict=True))


def predict_target(network: Network, pixels: Tensor, target: Target = None) -> Explanation:
    """The predicted class and what to explain for one image (1, C, H, W); the predicted class if None."""
    return predict_targets(network, pixels, target)[0]


@torch.no_grad()
def predict_targets(network: Network, pixels: Tensor, target: Target = None) -> list[Explanation]:
    """The predicted class and what to explain for each image of ``pixels`` (N, C, H, W)."""
    return explanations_of(network, network(pixels), target)


def explanations_of(network: Network, logits: Tensor, target: Target = None) -> list[Explanation]:
    """The predicted class and what to explain for each image, by its ``logits`` (N, classes)."""
    parts = zip(logits.split(1), targets_of(network, logits, target), strict=True)
    return [_explanation(network, *each) for each in parts]


@torch.no_grad()
def _explanation(network: Network, logits: Tensor, target: int | TargetFunction) -> Explanation:
    scores = network.probabilities(logits)[0].tolist()

    def prediction(index: int) -> Prediction:
        return Prediction(index, network.label(index), scores[index])

    predicted, is_probability = prediction(int(logits.argmax())), network.has_probabilities
    if isinstance(target, int):
        return Explanation(predicted, prediction(target), is_probability=is_probability)
    if isinstance(target, Against):
        return Explanation(predicted, prediction(target.index), True, is_probability)
    if isinstance(target, Contrast):
        other = prediction(target.other)
        return Explanation(predicted, prediction(target.index), is_probability=is_probability, versus=other)
    name = getattr(target, "__name__", type(target).__name__).replace("<lambda>", "a function of the logits")
    explained = Prediction(-1, name, float(_computed(target, logits)))
    return Explanation(predicted, explained, False, is_probability, target)
