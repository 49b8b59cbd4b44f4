"""The class each picture of a batch is explained for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.network import Network

Target = int | str | Sequence[int] | None
"""A class for all pictures (index, name or part of one), an index for each, or None for each one's likeliest."""


def target_indices(network: Network, logits: Tensor, target: Target) -> Tensor:
    """The class index of each picture, (N,) int64 on the logits' device.

    Raises UsageError for an unknown class, or a sequence whose length is not the batch's.
    """
    count = logits.shape[0]
    if target is None:
        return logits.detach().argmax(dim=1)
    if isinstance(target, int | str):
        return torch.full((count,), network.find_class(target), device=logits.device)
    indices = [network.find_class(index) for index in target]
    if len(indices) != count:
        raise UsageError(f"{len(indices)} targets were given for {count} pictures.")
    return torch.tensor(indices, device=logits.device)


def target_scores(network: Network, logits: Tensor, target: Target) -> Tensor:
    """The unnormalised score of each picture's target class, (N,)."""
    return logits.gather(1, target_indices(network, logits, target)[:, None])[:, 0]
