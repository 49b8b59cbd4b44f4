"""Weights derived from a convolution's own, computed once: flipped and transposed, split by phase, packed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.runtime import private_torch


@dataclass(frozen=True)
class _CachedWeight:
    """Derived weights, the input size they were last used for, and whether they are packed for that size."""

    weight: Tensor
    size: torch.Size | None = None
    is_packed: bool = False


class WeightCache:
    """Weights derived from those of one convolution, for as long as these stay the same."""

    def __init__(self) -> None:
        self._key: tuple[Tensor, int, int] | None = None
        self._cached: dict[str, _CachedWeight] = {}

    @property
    def names(self) -> set[str]:
        """The names under which something is cached."""
        return set(self._cached)

    def get(self, name: str, weight: Tensor, make: Callable[[], Tensor]) -> Tensor:
        """The result of ``make()``, cached under ``name`` until ``weight`` changes."""
        if weight.is_inference():  # has no version counter
            return make()
        cached = self._for_weight(weight)
        if name not in cached:
            with torch.inference_mode(False):  # inference tensors cannot take part in a later gradient
                cached[name] = _CachedWeight(make())
        return cached[name].weight

    def get_packed(
        self, name: str, weight: Tensor, size: torch.Size, padding: Sequence[int], make: Callable[[], Tensor]
    ) -> Tensor:
        """The result of ``make()``, packed for inputs of ``size`` (N, C, H, W) once that comes twice in a row.

        Weights packed for another size would be many times slower.
        """
        cached = self._for_weight(weight)
        last = cached.get(name)
        if last is None or last.size != size:
            last = _CachedWeight(make(), size)
        elif not last.is_packed:
            last = _CachedWeight(private_torch.pack_weight(last.weight, padding, size), size, is_packed=True)
        cached[name] = last
        return last.weight

    def drop_packed(self) -> None:
        """Free what was made for one input size."""
        self._cached = {name: cached for name, cached in self._cached.items() if cached.size is None}

    def _for_weight(self, weight: Tensor) -> dict[str, _CachedWeight]:
        """The cache, cleared if the weights changed."""
        last, address, version = self._key or (None, 0, 0)
        if last is not weight or address != weight.data_ptr() or version != weight._version:
            self._key, self._cached = (weight, weight.data_ptr(), weight._version), {}
        return self._cached


def flip_transpose(weight: Tensor) -> Tensor:
    """A convolution's weights (O, C, kH, kW) as those of its adjoint, (C, O, kH, kW)."""
    return weight.flip((2, 3)).transpose(0, 1).contiguous(memory_format=torch.channels_last)


def sub_pixel_weights(weight: Tensor, stride: tuple[int, ...]) -> Tensor:
    """Weights (O, C, kH, kW) of a strided convolution as those of its adjoint at stride 1, one set for each phase.

    An input position of a strided convolution meets only every sH-th row and sW-th column of the weights, by its phase,
    the position modulo the stride. The positions of one phase are a convolution of stride 1 with those rows and
    columns; all phases together are one convolution with sH · sW times the channels, followed by ``pixel_shuffle``.

    Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural
    Network", CVPR 2016, arXiv:1609.05158.

    Returns:
        (C · sH · sW, O, ⌈kH/sH⌉, ⌈kW/sW⌉).
    """
    outputs, channels, height, width = weight.shape
    down, across = stride
    rows, columns = math.ceil(height / down), math.ceil(width / across)
    padded = F.pad(weight, (0, columns * across - width, 0, rows * down - height))
    split = padded.reshape(outputs, channels, rows, down, columns, across).permute(1, 3, 5, 0, 2, 4)
    return split.flip((4, 5)).reshape(channels * down * across, outputs, rows, columns)


def pixel_shuffle(maps: Tensor, channels: int, stride: tuple[int, ...]) -> Tensor:
    """(N, C · sH · sW, H, W) -> (N, C, H · sH, W · sW): ``F.pixel_shuffle`` for a stride that differs by axis."""
    count, _, height, width = maps.shape
    down, across = stride
    split = maps.reshape(count, channels, down, across, height, width).permute(0, 1, 4, 2, 5, 3)
    return split.reshape(count, channels, height * down, width * across)
