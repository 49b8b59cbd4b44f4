"""Convolutions whose weights stay as they are: their input's gradient by the quickest way there is on a CPU.

PyTorch hands a float32 convolution to oneDNN or to an older library of its own, by rules that were measured long ago:
with one thread, or one small picture, it takes the older one, which is up to three times slower, and makes the last
bits of a result depend on how many pictures come together. With weights that take no gradient the choice is ours.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LEAST_WORK = 1 << 20
"""Multiply-adds for one picture below which what is gained is lost on the way."""

_LEAST_CELLS = 128
"""Positions of a map below which turning the kernel around outweighs what is gained."""

_SMALL_INPUT = 20480
"""Values in one picture's input up to which PyTorch takes the older library for a kernel of up to 3×3."""

_SMALL_WEIGHT = 1 << 18
"""Values in a kernel larger than 1×1 that are soon turned around; more than that outweighs what is gained."""

_MANY_CHANNELS = 256
"""Output channels from which on it is worth looking for idle ones."""

_FEW_CHANNELS = 4
"""Input channels, as the first layer's, so few that oneDNN's gradient of a strided convolution is slow."""


class Conv2d(nn.Conv2d):
    """``nn.Conv2d``, the same to within rounding, for weights that take no gradient.

    Called as its parent is, for users meet the name in lists of layers.
    """

    _kept: tuple[tuple[int, int], Tensor] | None = None
    """The state of the weights, and what ``adjoint`` made of them."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if _is_worth_it(input, weight) and self._is_plain() and _may_choose(input, weight, bias):
            if self.stride != (1, 1):
                if weight.shape[1] <= _FEW_CHANNELS and input.requires_grad:
                    return _Strided.apply(input, weight, bias, self)
            elif _is_neglected(input, weight):
                return _OneDnn.apply(input, weight, bias, self)
        return super()._conv_forward(input, weight, bias)

    def adjoint(self, weight: Tensor) -> Tensor:
        """The kernel that takes ``weight``'s slopes back to the input; kept where it is small and called for again."""
        if weight.numel() > _SMALL_WEIGHT or weight.is_inference():
            return self._adjoint_of(weight)
        state = weight.data_ptr(), weight._version
        if self._kept is None or self._kept[0] != state:
            self._kept = state, self._adjoint_of(weight)
        return self._kept[1]

    def _adjoint_of(self, weight: Tensor) -> Tensor:
        return _turned(weight) if self.stride == (1, 1) else _phases(weight, self.stride)  # type: ignore[arg-type]

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


def _is_worth_it(x: Tensor, weight: Tensor) -> bool:
    """Whether there is enough to compute; judged by one picture, lest a batch be computed otherwise."""
    if type(x) is not Tensor or x.ndim != 4:  # a torch.fx proxy or another stand-in, or a picture without a batch
        return False
    cells = x.shape[2] * x.shape[3]
    return cells >= _LEAST_CELLS and cells * weight.numel() >= _LEAST_WORK


def _may_choose(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether the way of computing is free: plain float32 on a CPU that has oneDNN, and no gradient of parameters."""
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not (weight.requires_grad or (bias is not None and bias.requires_grad))
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
    )


def _is_neglected(x: Tensor, weight: Tensor) -> bool:
    """Whether PyTorch may turn to the older library."""
    if weight.shape[2:] == (1, 1):
        return True
    return max(weight.shape[2:]) <= 3 and x[0].numel() <= _SMALL_INPUT and weight.numel() <= _SMALL_WEIGHT


class _OneDnn(torch.autograd.Function):
    """A convolution of stride 1 by oneDNN. Its adjoint is the convolution with the kernel turned around."""

    @staticmethod
    def forward(ctx, x, weight, bias, convolution):  # type: ignore[no-untyped-def]
        ctx.weight, ctx.convolution = weight, convolution
        return torch.mkldnn_convolution(x, weight, bias, convolution.padding, (1, 1), (1, 1), 1)

    @staticmethod
    def backward(ctx, slope):  # type: ignore[no-untyped-def]
        busy = _busy_channels(slope)
        if busy is None:
            kernel = ctx.convolution.adjoint(ctx.weight)
        else:
            slope, kernel = slope[:, busy], _turned(ctx.weight[busy])
        padding = [side - 1 - pad for side, pad in zip(kernel.shape[2:], ctx.convolution.padding, strict=True)]
        return torch.mkldnn_convolution(slope, kernel, None, padding, (1, 1), (1, 1), 1), None, None, None


def _turned(weight: Tensor) -> Tensor:
    """The kernel (O, C, kH, kW) of a convolution as that of its adjoint, (C, O, kH, kW)."""
    return weight.flip((2, 3)).transpose(0, 1).contiguous(memory_format=torch.channels_last)


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
    """A strided convolution of few channels, whose adjoint is computed phase by phase.

    Each input position meets only every so many rows and columns of the kernel, by its place modulo the stride: the
    positions of one phase are a convolution of stride 1 with those rows and columns, and all phases together are one
    convolution with so many times the channels, to be interleaved (Shi et al., "Real-Time Single Image and Video
    Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016, arXiv:1609.05158).
    """

    @staticmethod
    def forward(ctx, x, weight, bias, convolution):  # type: ignore[no-untyped-def]
        ctx.weight, ctx.convolution, ctx.size = weight, convolution, x.shape[2:]
        return F.conv2d(x, weight, bias, convolution.stride, convolution.padding)

    @staticmethod
    def backward(ctx, slope):  # type: ignore[no-untyped-def]
        phases = ctx.convolution.adjoint(ctx.weight)
        reach = tuple(side - 1 for side in phases.shape[2:])
        met = F.conv2d(slope, phases, padding=reach)
        found = _interleaved(met, ctx.weight.shape[1], ctx.convolution.stride)
        (top, left), (height, width) = ctx.convolution.padding, ctx.size
        # What the last window does not reach has no slope.
        beyond = [max(0, left + width - found.shape[3]), max(0, top + height - found.shape[2])]
        found = F.pad(found, (0, beyond[0], 0, beyond[1])) if any(beyond) else found
        return found[..., top : top + height, left : left + width], None, None, None


def _phases(weight: Tensor, stride: tuple[int, int]) -> Tensor:
    """The kernel (O, C, kH, kW) as the adjoint's, (C · sH · sW, O, ⌈kH/sH⌉, ⌈kW/sW⌉): one for each phase."""
    outputs, channels, height, width = weight.shape
    down, across = stride
    rows, columns = math.ceil(height / down), math.ceil(width / across)
    whole = F.pad(weight, (0, columns * across - width, 0, rows * down - height))
    split = whole.reshape(outputs, channels, rows, down, columns, across).permute(1, 3, 5, 0, 2, 4)
    return split.flip((4, 5)).reshape(channels * down * across, outputs, rows, columns)


def _interleaved(met: Tensor, channels: int, stride: tuple[int, int]) -> Tensor:
    """(N, C · sH · sW, H, W) -> (N, C, H · sH, W · sW): ``F.pixel_shuffle`` for any two strides."""
    count, _, height, width = met.shape
    down, across = stride
    split = met.reshape(count, channels, down, across, height, width).permute(0, 1, 4, 2, 5, 3)
    return split.reshape(count, channels, height * down, width * across)
