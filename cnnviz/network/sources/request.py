"""The request to a source of networks, and its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from cnnviz.network.spec import WeightsInfo


@dataclass(frozen=True)
class Request:
    """Which network is wanted.

    Args:
        model: what it was named by, as ``timm/resnet18`` or ``my_net.py:build``.
        weights: as in ``load_network``.
        classes: the number of labels that were given, if any.
        seed: of random weights.
        progress: whether downloads show a bar on stderr.
        weights_key, head_activation: as in ``load_network``.
        channels: of the images, if given.
    """

    model: str
    weights: str | Path | None = None
    classes: int | None = None
    seed: int = 0
    progress: bool = False
    weights_key: str | None = None
    head_activation: str | None = None
    channels: int | None = None


@dataclass
class LoadedModel:
    """A module with its weights, and what its source knows of it.

    Args:
        module: normalized input -> logits (N, classes).
        weights: where the weights came from.
        arguments: arguments of ``Network`` that describe its input, its output and its classes; what is not there is
            assumed.
        is_ours: whether it was made by code that is known, so that it may be changed for speed.
        is_described: whether its source knows its input and its classes, so that nothing is assumed.
    """

    module: nn.Module
    weights: WeightsInfo
    arguments: dict[str, Any] = field(default_factory=dict)
    is_ours: bool = False
    is_described: bool = False
