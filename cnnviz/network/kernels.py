"""Kernels of frozen convolutions, made ready once: turned around, split into phases, laid out as oneDNN wants them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_ONES = (1, 1)


@dataclass(frozen=True)
class _Kept:
    """A kernel, the size of the input it was last asked for, and whether it is packed for it."""

    kernel: Tensor
    size: torch.Size | None = None
    is_packed: bool = False


class Kernels:
    """What was made of a convolution's weights, for as long as they are the same."""

    def __init__(self) -> None:
        self._state: tuple[Tensor, int, int] | None = None
        self._kept: dict[str, _Kept] = {}

    def get(self, name: str, weight: Tensor, make: Callable[[], Tensor]) -> Tensor:
        """What ``make`` makes of ``weight``, under that name."""
        if weight.is_inference():  # which does not tell when it is changed
            return make()
        kept = self._of(weight)
        if name not in kept:
            with torch.inference_mode(False):  # what is made in it can have no part in a gradient later
                kept[name] = _Kept(make())
        return kept[name].kernel

    def for_size(
        self, name: str, weight: Tensor, size: torch.Size, padding: Sequence[int], make: Callable[[], Tensor]
    ) -> Tensor:
        """The same, and packed where an input of ``size`` comes the second time in a row.

        What is packed is no good for another size: oneDNN then takes many times as long.
        """
        kept = self._of(weight)
        last = kept.get(name)
        if last is None or last.size != size:
            last = _Kept(make(), size)
        elif not last.is_packed:
            last = _Kept(packed(last.kernel, padding, size), size, is_packed=True)
        kept[name] = last
        return last.kernel

    def forget_sizes(self) -> None:
        """Drop what was made for one size, when another comes that needs none of it: it may be much."""
        self._kept = {name: kept for name, kept in self._kept.items() if kept.size is None}

    def _of(self, weight: Tensor) -> dict[str, _Kept]:
        """What is kept, once what other weights left behind is thrown away."""
        last, address, version = self._state or (None, 0, 0)
        if last is not weight or address != weight.data_ptr() or version != weight._version:
            self._state, self._kept = (weight, weight.data_ptr(), weight._version), {}
        return self._kept


def convolved(x: Tensor, kernel: Tensor, bias: Tensor | None, padding: Sequence[int]) -> Tensor:
    """``x`` convolved at stride 1 by oneDNN, with a kernel as it is (differentiable) or ``packed`` (not)."""
    if kernel.is_mkldnn:
        x = x.contiguous(memory_format=torch.channels_last)
        found: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, kernel, bias, padding, _ONES, _ONES, 1, "none", [], ""
        )
        return found
    return torch.mkldnn_convolution(x, kernel, bias, padding, _ONES, _ONES, 1)


def packed(weight: Tensor, padding: Sequence[int], size: Sequence[int]) -> Tensor:
    """``weight`` in the order in memory that oneDNN wants for an input of ``size`` (N, C, H, W).

    Otherwise it is brought into that order in each call, which for maps of 14×14 takes a third as long as convolving,
    and for those of 7×7 longer. The result of convolving is the same to the last bit.
    """
    return _packed(weight, padding, size) if _can_pack() else weight


def _packed(weight: Tensor, padding: Sequence[int], size: Sequence[int]) -> Tensor:
    found: Tensor = torch.ops.mkldnn._reorder_convolution_weight(weight, padding, _ONES, _ONES, 1, size)
    return found


@functools.lru_cache(maxsize=1)
def _can_pack() -> bool:
    """Whether this PyTorch has the operations that its compiler packs kernels by; they have no public name."""
    weight, x = torch.linspace(-1, 1, 16 * 8 * 9).view(16, 8, 3, 3), torch.linspace(0, 1, 8 * 49).view(1, 8, 7, 7)
    try:
        found = convolved(x, _packed(weight, _ONES, x.shape), None, _ONES)
    except (AttributeError, RuntimeError, TypeError):
        return False
    return torch.allclose(found, F.conv2d(x, weight, padding=1), atol=1e-4)


def turned(weight: Tensor) -> Tensor:
    """The kernel (O, C, kH, kW) of a convolution as that of its adjoint, (C, O, kH, kW)."""
    return weight.flip((2, 3)).transpose(0, 1).contiguous(memory_format=torch.channels_last)


def phases(weight: Tensor, stride: tuple[int, ...]) -> Tensor:
    """The kernel (O, C, kH, kW) as the adjoint's, (C · sH · sW, O, ⌈kH/sH⌉, ⌈kW/sW⌉): one for each phase.

    Each input position of a strided convolution meets only every so many rows and columns of the kernel, by its place
    modulo the stride: the positions of one phase are a convolution of stride 1 with those rows and columns, and all
    phases together are one convolution with so many times the channels, to be ``interleaved`` (Shi et al., "Real-Time
    Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016,
    arXiv:1609.05158).
    """
    outputs, channels, height, width = weight.shape
    down, across = stride
    rows, columns = math.ceil(height / down), math.ceil(width / across)
    whole = F.pad(weight, (0, columns * across - width, 0, rows * down - height))
    split = whole.reshape(outputs, channels, rows, down, columns, across).permute(1, 3, 5, 0, 2, 4)
    return split.flip((4, 5)).reshape(channels * down * across, outputs, rows, columns)


def interleaved(met: Tensor, channels: int, stride: tuple[int, ...]) -> Tensor:
    """(N, C · sH · sW, H, W) -> (N, C, H · sH, W · sW): ``F.pixel_shuffle`` for any two strides."""
    count, _, height, width = met.shape
    down, across = stride
    split = met.reshape(count, channels, down, across, height, width).permute(0, 1, 4, 2, 5, 3)
    return split.reshape(count, channels, height * down, width * across)
