"""The objectives of attacks: the loss or score of a class, and their gradients with respect to the pixels."""

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
"""A differentiable function from the pixels that are changed to those the network sees: a resize, a crop, JPEG."""


def identity(pixels: Tensor) -> Tensor:
    """The pixels unchanged."""
    return pixels


def class_names(network: Network) -> tuple[str, ...]:
    """The names of the classes that an image can be predicted as; for one logit, its class and ``not CLASS``."""
    network.require_classifier()
    assert network.labels is not None
    return network.labels if network.classes > 1 else (network.labels[0], f"not {network.labels[0]}")


def scores_of(network: Network, seen: Tensor) -> Tensor:
    """The score of each of ``class_names``, (N, classes): the logits, or two whose softmax is one logit's sigmoid."""
    logits = network(seen)
    return logits if logits.shape[1] > 1 else torch.cat([logits / 2, -logits / 2], dim=1)


@torch.no_grad()
def predictions_of(network: Network, seen: Tensor) -> list[Prediction]:
    """Each image's predicted class: its index among ``class_names``, its name, and its probability in [0, 1]."""
    probabilities, indices = scores_of(network, seen).softmax(1).max(1)
    names = class_names(network)
    return [Prediction(i, names[i], p) for i, p in zip(indices.tolist(), probabilities.tolist(), strict=True)]


def labels_of(network: Network, pixels: Tensor, label: Target, through: Through = identity) -> Tensor:
    """The class index of each image, (N,) int64: ``label``, or the predicted class where it is None.

    ``label`` is one class for all images, or one per image; for a network of one logit, 0 is its class and 1 the
    negation.

    Raises:
        UsageError: an unknown class, or not one per image.
    """
    found = find_classes(class_names(network), label, len(pixels))
    if found is not None:
        return torch.tensor(found, device=network.device)
    with torch.no_grad():
        return scores_of(network, through(pixels)).argmax(1)


def loss_gradient(network: Network, pixels: Tensor, labels: Tensor, through: Through = identity) -> Tensor:
    """The gradient of each image's cross-entropy loss for its label with respect to ``pixels``, (N, C, H, W)."""
    with gradients():
        pixels = differentiable(pixels, network.device, network.spec.channels)
        seen = through(pixels)
        loss = F.cross_entropy(scores_of(network, seen), labels, reduction="sum")
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
    """Whether each image is classified as its target (or, untargeted, no longer as its label): (N,) boolean."""
    is_label = scores_of(network, seen).argmax(1) == labels
    return is_label if targeted else ~is_label
