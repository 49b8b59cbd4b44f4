"""What attacks climb: the loss of a class, through whatever lies between the picture and the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from cnnviz.errors import UsageError
from cnnviz.network import Network
from cnnviz.runtime.precision import gradients_of

Through = Callable[[Tensor], Tensor]
"""From the pixels that are changed to the pixels the network sees, differentiable: a resize, a crop, JPEG."""

Label = int | str | Sequence[int] | None
"""A class for all pictures, an index for each, or None for what the network says of each."""


def identity(pixels: Tensor) -> Tensor:
    """The network sees the pixels as they are."""
    return pixels


def labels_of(network: Network, pixels: Tensor, label: Label, through: Through = identity) -> Tensor:
    """The class index of each picture, (N,) int64.

    Raises UsageError for an unknown class, a wrong number of them, or a network that knows one class only and so
    can say nothing else.
    """
    if network.classes < 2:
        raise UsageError(f"{network.name} has one class only; there is nothing else it could be fooled into saying.")
    if label is None:
        with torch.no_grad():
            return network(through(pixels)).argmax(1)
    if isinstance(label, int | str):
        return torch.full((len(pixels),), network.find_class(label), device=network.device)
    if len(label) != len(pixels):
        raise UsageError(f"{len(label)} classes were given for {len(pixels)} pictures.")
    return torch.tensor([network.find_class(index) for index in label], device=network.device)


def loss_gradient(network: Network, pixels: Tensor, labels: Tensor, through: Through = identity) -> Tensor:
    """The gradient of each picture's cross-entropy loss for its label with respect to ``pixels``."""
    pixels = pixels.detach().requires_grad_()
    with torch.enable_grad():
        loss = F.cross_entropy(network(through(pixels)), labels, reduction="sum")
    return gradients_of(loss, pixels)[0]


def score_gradient(network: Network, pixels: Tensor, labels: Tensor, through: Through = identity) -> Tensor:
    """The gradient of each picture's logit for its label with respect to ``pixels``."""
    pixels = pixels.detach().requires_grad_()
    with torch.enable_grad():
        score = network(through(pixels)).gather(1, labels[:, None]).sum()
    return gradients_of(score, pixels)[0]


@torch.no_grad()
def succeeded(network: Network, seen: Tensor, labels: Tensor, targeted: bool) -> Tensor:
    """Whether each picture, as the network sees it, is taken for its target (or no longer for its label): (N,)."""
    says = network(seen).argmax(1) == labels
    return says if targeted else ~says
