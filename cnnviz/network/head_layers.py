"""The layers of a classifier by their tensors: what they are, how many values they take and give, and their modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class HeadLayer:
    """One layer's tensors by their last name, and its place: ``1.4`` in the classifier."""

    place: str
    tensors: Mapping[str, Tensor]

    @property
    def steps(self) -> tuple[int, ...] | None:
        """The place as numbers; None where a part is a word. Words before the first number do not count."""
        parts = self.place.split(".")
        while parts and not parts[0].isdigit():
            parts = parts[1:]
        return tuple(map(int, parts)) if parts and all(part.isdigit() for part in parts) else None

    @property
    def weight(self) -> Tensor | None:
        """Its weight, if it has one."""
        return self.tensors.get("weight")

    @property
    def is_linear(self) -> bool:
        """Whether it is a linear layer."""
        return self._has_weight(2) and set(self.tensors) <= {"weight", "bias"}

    @property
    def is_conv(self) -> bool:
        """Whether it is a convolution of single positions."""
        weight = self.weight
        is_pointwise = weight is not None and tuple(weight.shape[2:]) == (1, 1)
        return self._has_weight(4) and is_pointwise and set(self.tensors) <= {"weight", "bias"}

    @property
    def is_batch_norm(self) -> bool:
        """Whether it is a batch normalization."""
        return "running_mean" in self.tensors and "running_var" in self.tensors

    @property
    def is_norm(self) -> bool:
        """Whether it is a normalization, of batches or layers."""
        return self.is_batch_norm or (self._has_weight(1) and set(self.tensors) == {"weight", "bias"})

    @property
    def is_prelu(self) -> bool:
        """Whether it is a PReLU, with a weight for each channel."""
        return self._has_weight(1) and set(self.tensors) == {"weight"}

    @property
    def inputs(self) -> int:
        """The number of values that it takes."""
        shape = self._first.shape
        return int(shape[1] if len(shape) > 1 else shape[0])

    @property
    def outputs(self) -> int:
        """The number of values that it gives."""
        return int(self._first.shape[0])

    def module(self, *, of_maps: bool) -> nn.Module:
        """Its module, without values; ``of_maps`` if it is among convolutions."""
        weight, has_bias = self.weight, "bias" in self.tensors
        with torch.device("meta"):
            if self.is_batch_norm:
                kind = nn.BatchNorm2d if of_maps else nn.BatchNorm1d
                return kind(len(self.tensors["running_mean"]), affine=weight is not None)
            assert weight is not None
            if self.is_prelu:
                return nn.PReLU(len(weight))
            if weight.ndim == 1:
                return nn.LayerNorm(len(weight))
            if weight.ndim == 4:
                return nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=has_bias)
            return nn.Linear(weight.shape[1], weight.shape[0], bias=has_bias)

    def _has_weight(self, axes: int) -> bool:
        return self.weight is not None and self.weight.ndim == axes and 0 not in self.weight.shape

    @property
    def _first(self) -> Tensor:
        """The weight, or the first tensor of a layer without one."""
        return next(iter(self.tensors.values())) if self.weight is None else self.weight


def layers_of(state: Mapping[str, Tensor], path: str) -> list[HeadLayer]:
    """The layers in order: by their numbers, or, where these are words, as in the file."""
    groups: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        place, _, last = key.removeprefix(f"{path}.").rpartition(".")
        groups.setdefault(place, {})[last] = value
    layers = [HeadLayer(place, tensors) for place, tensors in groups.items()]
    if all(layer.steps is not None for layer in layers):
        layers.sort(key=lambda layer: layer.steps or ())
    return layers


def has_gap(previous: HeadLayer, layer: HeadLayer) -> bool:
    """Whether there may be a module without tensors between two layers: a number left out, or words."""
    one, two = previous.steps, layer.steps
    if one is None or two is None:
        return True
    if one[:-1] == two[:-1]:
        return two[-1] - one[-1] > 1
    return True  # an inner nn.Sequential may end in one


def described(module: nn.Module) -> str:
    """A layer in words: ``Linear 512→7``."""
    name = type(module).__name__
    if isinstance(module, nn.Linear):
        return f"{name} {module.in_features}→{module.out_features}"
    if isinstance(module, nn.Conv2d):
        return f"{name} {module.in_channels}→{module.out_channels}"
    return name
