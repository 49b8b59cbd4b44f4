"""What attacks climb: the loss of a class, through whatever lies between the picture and the network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from cnnviz.imaging.checks import differentiable, gradients
from cnnviz.network import checks
from cnnviz.network.network import Network, Prediction
from cnnviz.network.targets import Target, find_classes
from cnnviz.runtime.precision import gradients_of

Through = Callable[[Tensor], Tensor]
"""From the pixels that are changed to the pixels the network sees, differentiable: a resize, a crop, JPEG."""

Label = Target
"""One class for all images, one class per image, or None for each image's predicted class.

The one class of a network of one logit is 0; 1 is that it is not that.
"""


def identity(pixels: Tensor) -> Tensor:
    """The network sees the pixels as they are."""
    return pixels


def answers(network: Network) -> tuple[str, ...]:
    """What the network can say of a picture: its classes, or of a single one ``tumor`` and ``not tumor``."""
    assert network.labels is not None
    return network.labels if network.classes > 1 else (network.labels[0], f"not {network.labels[0]}")


def scores_of(network: Network, seen: Tensor) -> Tensor:
    """The score of each answer, (N, answers): the logits, or of a single one two whose softmax is its sigmoid."""
    logits = network(seen)
    return logits if logits.shape[1] > 1 else torch.cat([logits / 2, -logits / 2], dim=1)


@torch.no_grad()
def verdicts(network: Network, seen: Tensor) -> list[Prediction]:
    """The likeliest answer of each picture: its index among the ``answers``, its name, and its probability."""
    probabilities, indices = scores_of(network, seen).softmax(1).max(1)
    names = answers(network)
    return [(i, names[i], p) for i, p in zip(indices.tolist(), probabilities.tolist(), strict=True)]


def labels_of(network: Network, pixels: Tensor, label: Label, through: Through = identity) -> Tensor:
    """The index of each picture's answer, (N,) int64.

    Raises UsageError for an unknown class or a wrong number of them.
    """
    found = find_classes(answers(network), label, len(pixels))
    if found is not None:
        return torch.tensor(found, device=network.device)
    with torch.no_grad():
        return scores_of(network, through(pixels)).argmax(1)


def loss_gradient(network: Network, pixels: Tensor, labels: Tensor, through: Through = identity) -> Tensor:
    """The gradient of each picture's cross-entropy loss for its label with respect to ``pixels``."""
    with gradients():
        pixels = differentiable(pixels, network.device)
        seen = through(pixels)
        loss = F.cross_entropy(scores_of(network, seen), labels, reduction="sum")
        return checks.require_finite(gradients_of(loss, pixels)[0], "gradient", network, seen)


def score_gradient(network: Network, pixels: Tensor, labels: Tensor, through: Through = identity) -> Tensor:
    """The gradient of each picture's logit for its label with respect to ``pixels``."""
    with gradients():
        pixels = differentiable(pixels, network.device)
        seen = through(pixels)
        score = scores_of(network, seen).gather(1, labels[:, None]).sum()
        return checks.require_finite(gradients_of(score, pixels)[0], "gradient", network, seen)


@torch.no_grad()
def succeeded(network: Network, seen: Tensor, labels: Tensor, targeted: bool) -> Tensor:
    """Whether each picture, as the network sees it, is taken for its target (or no longer for its label): (N,)."""
    says = scores_of(network, seen).argmax(1) == labels
    return says if targeted else ~says
