"""The class each picture of a batch is explained for."""

from __future__ import annotations

import torch
from torch import Tensor

from cnnviz.network.network import Network
from cnnviz.network.targets import Target

__all__ = ["Target", "target_indices", "target_scores"]


def target_indices(network: Network, logits: Tensor, target: Target) -> Tensor:
    """The class index of each picture, (N,) int64 on the logits' device.

    Raises UsageError for an unknown class, or another number of classes than of pictures.
    """
    found = network.find_classes(target, logits.shape[0])
    return logits.detach().argmax(dim=1) if found is None else torch.tensor(found, device=logits.device)


def target_scores(network: Network, logits: Tensor, target: Target) -> Tensor:
    """The unnormalised score of each picture's target class, (N,)."""
    return logits.gather(1, target_indices(network, logits, target)[:, None])[:, 0]


@torch.no_grad()
def predicted_indices(network: Network, pixels: Tensor, target: Target) -> list[int]:
    """The class index of each image of ``pixels`` (N, 3, H, W): that of ``target``, or the network's prediction."""
    return target_indices(network, network(pixels), target).tolist()
