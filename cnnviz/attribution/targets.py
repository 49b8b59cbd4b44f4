"""The class that an attribution explains: indices and scores of targets, and what the network predicts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cnnviz.network.network import Network, Prediction
from cnnviz.network.targets import Target

__all__ = [
    "Explanation",
    "Target",
    "explanations_of",
    "predict_target",
    "predict_targets",
    "predicted_indices",
    "target_indices",
    "target_scores",
]


@dataclass(frozen=True)
class Explanation:
    """The class that the network predicts for an image, and the class that is explained."""

    predicted: Prediction
    target: Prediction


def target_indices(network: Network, logits: Tensor, target: Target) -> Tensor:
    """The class index of each image, (N,) int64 on the device of ``logits`` (N, classes).

    Raises UsageError for an unknown class, or another number of classes than of images.
    """
    found = network.find_classes(target, logits.shape[0])
    return logits.detach().argmax(dim=1) if found is None else torch.tensor(found, device=logits.device)


def target_scores(network: Network, logits: Tensor, target: Target) -> Tensor:
    """The logit of each image's target class, (N,)."""
    return logits.gather(1, target_indices(network, logits, target)[:, None])[:, 0]


@torch.no_grad()
def predicted_indices(network: Network, pixels: Tensor, target: Target) -> list[int]:
    """The class index of each image of ``pixels`` (N, 3, H, W): of ``target``, or of the predicted class if None."""
    return target_indices(network, network(pixels), target).tolist()


def predict_target(network: Network, pixels: Tensor, target: str | int | None = None) -> Explanation:
    """The predicted class and the class to explain for one image (1, 3, H, W); the predicted class if None."""
    return predict_targets(network, pixels, target)[0]


@torch.no_grad()
def predict_targets(network: Network, pixels: Tensor, target: str | int | None = None) -> list[Explanation]:
    """The predicted class and the class to explain for each image of ``pixels`` (N, 3, H, W)."""
    return explanations_of(network, network(pixels), target)


def explanations_of(network: Network, logits: Tensor, target: str | int | None = None) -> list[Explanation]:
    """The same from ``logits`` (N, classes)."""
    index = None if target is None else network.find_class(target)

    def explanation(probabilities: Tensor) -> Explanation:
        predicted = int(probabilities.argmax())
        both = predicted, predicted if index is None else index
        return Explanation(*(Prediction(which, network.label(which), float(probabilities[which])) for which in both))

    return [explanation(row) for row in network.probabilities(logits).cpu()]
