"""The objectives of attacks: what a network takes an image for, the loss of a class, and their gradients.

A network with a softmax takes an image for its likeliest class. One with sigmoids decides about each label for itself:
``dog`` and ``not dog`` are the two classes of that decision. A regression has no classes to be taken for.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from cnnviz.errors import UsageError
from cnnviz.imaging.checks import differentiable, gradients
from cnnviz.network import checks
from cnnviz.network.network import Network
from cnnviz.network.prediction import Prediction
from cnnviz.network.targets import Target, find_classes
from cnnviz.runtime.precision import gradients_of

Through = Callable[[Tensor], Tensor]
"""A differentiable function from the pixels that are changed to those the network sees: a resize, a crop, JPEG."""


def identity(pixels: Tensor) -> Tensor:
    """The pixels unchanged."""
    return pixels


def class_names(network: Network) -> tuple[str, ...]:
    """The names of what an image can be taken for: the classes; with sigmoids each label, then each label's negation.

    Raises UsageError for a network whose scores are values, not probabilities.
    """
    network.require_classifier()
    assert network.labels is not None
    if not network.has_probabilities:
        raise UsageError(
            f"{network.name} gives values, not probabilities of classes (its activation is none): it has no classes "
            "to be fooled about."
        )
    if network.is_exclusive:
        return network.labels
    return (*network.labels, *(f"not {label}" for label in network.labels))


def scores_of(network: Network, seen: Tensor) -> Tensor:
    """The score of each of ``class_names``, (N, classes): the logits; with sigmoids half of each, then its negation.

    The softmax of a label's score and of its negation's is the sigmoid of the label's logit.
    """
    class_names(network)
    logits = network(seen)
    return logits if network.is_exclusive else torch.cat([logits / 2, -logits / 2], dim=1)


def rivals(network: Network, scores: Tensor, label: int, count: int) -> list[int]:
    """The ``count`` likeliest classes besides ``label`` by one image's ``scores``; with sigmoids its negation."""
    if not network.is_exclusive:
        return [(label + network.classes) % (2 * network.classes)]
    return [other for other in scores.topk(min(count + 1, len(scores))).indices.tolist() if other != label]


def _choices(network: Network, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The scores that the prediction is chosen from, and the index of each label among them."""
    if network.is_exclusive:
        return scores, labels
    opposites = (labels + network.classes) % (2 * network.classes)
    return scores.gather(1, torch.stack([labels, opposites], dim=1)), torch.zeros_like(labels)


def losses_of(network: Network, scores: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy loss of each image for its label, (N,), by the scores of its classes."""
    return F.cross_entropy(*_choices(network, scores, labels), reduction="none")


def is_taken_for(network: Network, scores: Tensor, labels: Tensor) -> Tensor:
    """Whether each image is taken for its label, by the scores of its classes: (N,) boolean."""
    choices, places = _choices(network, scores, labels)
    return choices.argmax(1) == places


def likeliest(network: Network, scores: Tensor) -> Tensor:
    """What each image is taken for, (N,) int64; with sigmoids the likeliest label, or its likelier negation."""
    if network.is_exclusive:
        return scores.argmax(1)
    best, index = scores[:, : network.classes].max(1)
    return index + network.classes * (best < 0)


@torch.no_grad()
def predictions_of(network: Network, seen: Tensor, about: int | None = None) -> list[Prediction]:
    """What each image is taken for: the index among ``class_names``, the name, and the probability in [0, 1].

    With sigmoids it is the decision ``about`` one class: that, or its negation.
    """
    scores, names = scores_of(network, seen), class_names(network)
    indices = likeliest(network, scores)
    if about is not None and not network.is_exclusive:
        index = torch.full_like(indices, about % network.classes)
        indices = index + network.classes * (scores.gather(1, index[:, None])[:, 0] < 0)
    if network.is_exclusive:
        probabilities = network.probabilities(scores)
    else:
        of_labels = network.probabilities(2 * scores[:, : network.classes])
        probabilities = torch.cat([of_labels, 1 - of_labels], dim=1)
    found = probabilities.gather(1, indices[:, None])[:, 0]
    return [Prediction(i, names[i], p) for i, p in zip(indices.tolist(), found.tolist(), strict=True)]


def labels_of(network: Network, pixels: Tensor, label: Target, through: Through = identity) -> Tensor:
    """The class index of each image, (N,) int64: ``label``, or what the image is taken for where it is None.

    ``label`` is one class for all images, or one per image, by its index among ``class_names`` or its name.

    Raises:
        UsageError: an unknown class, not one per image, or a network without classes.
    """
    found = find_classes(class_names(network), label, len(pixels))
    if found is not None:
        return torch.tensor(found, device=network.device)
    with torch.no_grad():
        return likeliest(network, scores_of(network, through(pixels)))


def loss_gradient(network: Network, pixels: Tensor, labels: Tensor, through: Through = identity) -> Tensor:
    """The gradient of each image's cross-entropy loss for its label with respect to ``pixels``, (N, C, H, W)."""
    with gradients():
        pixels = differentiable(pixels, network.device, network.spec.channels)
        seen = through(pixels)
        loss = losses_of(network, scores_of(network, seen), labels).sum()
        return checks.require_finite(gradients_of(loss, pixels)[0], "gradient", network, seen)


def score_gradient(network: Network, pixels: Tensor, labels: Tensor, through: Through = identity) -> Tensor:
    """The gradient of each image's logit for its label with respect to ``pixels``, (N, C, H, W)."""
    with gradients():
        pixels = differentiable(pixels, network.device, network.spec.channels)
        seen = through(pixels)
        score = scores_of(network, seen).gather(1, labels[:, None]).sum()
        return checks.require_finite(gradients_of(score, pixels)[0], "gradient", network, seen)


@torch.no_grad()
def succeeded(network: Network, seen: Tensor, labels: Tensor, targeted: bool) -> Tensor:
    """Whether each image is taken for its target (or, untargeted, no longer for its label): (N,) boolean."""
    is_label = is_taken_for(network, scores_of(network, seen), labels)
    return is_label if targeted else ~is_label
