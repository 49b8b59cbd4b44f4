"""Convolutions whose weights stay as they are: their input's gradient by the quickest way there is on a CPU.

PyTorch hands a float32 convolution to oneDNN or to an older library of its own, by rules that were measured long ago:
with one thread, or one small picture, it takes the older one, which is up to three times slower, and makes the last
bits of a result depend on how many pictures come together. With weights that take no gradient the choice is ours.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnviz.network.kernels import Kernels, convolved, interleaved, phases, turned

_LEAST_WORK = 1 << 20
"""Multiply-adds for one picture below which what is gained is lost on the way."""

_FEW_CELLS = 200
"""Positions of a map up to which making a kernel ready takes a third of the time of convolving with it, or more."""

_MANY_CELLS = 4096
"""Positions of a map from which on making even a small kernel ready is nothing beside convolving."""

_SMALL_INPUT = 20480
"""Values in one picture's input up to which PyTorch takes the older library for a kernel of up to 3×3."""

_SMALL_WEIGHT = 1 << 18
"""Values in a kernel, one Mebibyte, up to which it is of no account that there are three of it."""

_MANY_CHANNELS = 256
"""Output channels from which on it is worth looking for idle ones."""

_FEW_CHANNELS = 4
"""Input channels, as the first layer's, so few that oneDNN's gradient of a strided convolution is slow."""


class Conv2d(nn.Conv2d):
    """``nn.Conv2d``, the same to within rounding, for weights that take no gradient.

    Called as its parent is, for users meet the name in lists of layers.
    """

    _kernels: Kernels | None = None  # the class's, for modules become of this class when they are made already

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if _is_shortened(input, weight):
            weight = self._shortened(weight, torch.get_autocast_dtype(input.device.type))
        if _is_worth_it(input, weight) and self._is_plain() and _may_choose(input, weight, bias):
            if self.stride != (1, 1):
                if weight.shape[1] <= _FEW_CHANNELS and input.requires_grad:
                    return _Strided.apply(input, weight, bias, self)
            elif _is_keepable(input, weight):
                return _OneDnn.apply(input, weight, bias, self)
            else:
                self.kernels.forget_sizes()
                if _is_neglected(input, weight):
                    return _OneDnn.apply(input, weight, bias, self)
        return super()._conv_forward(input, weight, bias)

    def _shortened(self, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """The weights as autocast takes them. It keeps what it shortens of trained ones only, and for one pass."""
        return self.kernels.get(str(dtype), weight, lambda: weight.to(dtype))

    @property
    def kernels(self) -> Kernels:
        """What was made of the weights."""
        if self._kernels is None:
            self._kernels = Kernels()
        return self._kernels

    def __getstate__(self) -> dict[str, Any]:
        """Without the kernels, which are soon made again."""
        return {name: value for name, value in self.__dict__.items() if name != "_kernels"}

    def _is_plain(self) -> bool:
        return (
            self.groups == 1
            and self.dilation == (1, 1)
            and self.padding_mode == "zeros"
            and not isinstance(self.padding, str)
            and all(pad < side for pad, side in zip(self.padding, self.kernel_size, strict=True))
        )


def freeze_convolutions(module: nn.Module) -> None:
    """Make every ``nn.Conv2d`` inside ``module`` the ``Conv2d`` of this file, in place: names and parameters stay."""
    for child in module.modules():
        if type(child) is nn.Conv2d:
            child.__class__ = Conv2d


def _is_shortened(x: Tensor, weight: Tensor) -> bool:
    """Whether autocast will convolve with float32 ``weight``, which takes no gradient, in a shorter type."""
    if type(x) is not Tensor or weight.dtype != torch.float32 or weight.requires_grad:
        return False
    kind = x.device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def _is_worth_it(x: Tensor, weight: Tensor) -> bool:
    """Whether there is enough to compute; judged by one picture, lest a batch be computed otherwise."""
    if type(x) is not Tensor or x.ndim != 4:  # a torch.fx proxy or another stand-in, or a picture without a batch
        return False
    return _cells(x) * weight.numel() >= _LEAST_WORK


def _cells(x: Tensor) -> int:
    return x.shape[2] * x.shape[3]


def _may_choose(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether the way of computing is free: plain float32 on a CPU that has oneDNN, and no gradient of parameters."""
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not (weight.requires_grad or (bias is not None and bias.requires_grad))
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
    )


def _is_keepable(x: Tensor, weight: Tensor) -> bool:
    """Whether kernels are made ready once: small ones, and those whose making would outweigh convolving so little."""
    most = _MANY_CELLS if weight.numel() <= _SMALL_WEIGHT else _FEW_CELLS
    return _cells(x) <= most and not weight.is_inference()


def _is_neglected(x: Tensor, weight: Tensor) -> bool:
    """Whether PyTorch may turn to the older library."""
    if weight.shape[2:] == (1, 1):
        return True
    return max(weight.shape[2:]) <= 3 and x[0].numel() <= _SMALL_INPUT and weight.numel() <= _SMALL_WEIGHT


class _OneDnn(torch.autograd.Function):
    """A convolution of stride 1 by oneDNN. Its adjoint is the convolution with the kernel turned around."""

    @staticmethod
    def forward(ctx, x, weight, bias, convolution):  # type: ignore[no-untyped-def]
        ctx.weight, ctx.convolution, ctx.is_kept = weight, convolution, _is_keepable(x, weight)
        kernel, padding = weight, convolution.padding
        if ctx.is_kept:
            kernel = convolution.kernels.for_size("forward", weight, x.shape, padding, lambda: weight)
        return convolved(x, kernel, bias, padding)

    @staticmethod
    def backward(ctx, slope):  # type: ignore[no-untyped-def]
        weight, convolution = ctx.weight, ctx.convolution
        padding = [side - 1 - pad for side, pad in zip(weight.shape[2:], convolution.padding, strict=True)]
        busy = _busy_channels(slope)
        if busy is not None:
            slope, kernel = slope[:, busy], turned(weight[busy])
        elif ctx.is_kept and not torch.is_grad_enabled():  # it is where this gradient's own gradient will be asked for
            kernel = convolution.kernels.for_size("adjoint", weight, slope.shape, padding, lambda: turned(weight))
        else:
            kernel = turned(weight)
        return convolved(slope, kernel, None, padding), None, None, None


def _busy_channels(slope: Tensor) -> Tensor | None:
    """The channels of (N, C, H, W) that have any slope, if most have none; otherwise None.

    Where a convolution scores the classes, a single one of them has any.
    """
    few = slope.shape[1] // 8
    if slope.shape[1] < _MANY_CHANNELS or slope[:, :, 0, 0].count_nonzero() > len(slope) * few:
        return None
    busy = slope.abs().amax((0, 2, 3)).nonzero()[:, 0]
    return busy if 0 < len(busy) <= few else None


class _Strided(torch.autograd.Function):
    """A strided convolution of few channels, whose adjoint is computed phase by phase."""

    @staticmethod
    def forward(ctx, x, weight, bias, convolution):  # type: ignore[no-untyped-def]
        ctx.weight, ctx.convolution, ctx.size = weight, convolution, x.shape[2:]
        return F.conv2d(x, weight, bias, convolution.stride, convolution.padding)

    @staticmethod
    def backward(ctx, slope):  # type: ignore[no-untyped-def]
        weight, stride = ctx.weight, ctx.convolution.stride
        kernel = ctx.convolution.kernels.get("phases", weight, lambda: phases(weight, stride))
        reach = tuple(side - 1 for side in kernel.shape[2:])
        found = interleaved(F.conv2d(slope, kernel, padding=reach), weight.shape[1], stride)
        (top, left), (height, width) = ctx.convolution.padding, ctx.size
        # What the last window does not reach has no slope.
        beyond = [max(0, left + width - found.shape[3]), max(0, top + height - found.shape[2])]
        found = F.pad(found, (0, beyond[0], 0, beyond[1])) if any(beyond) else found
        return found[..., top : top + height, left : left + width], None, None, None
