"""Rules for each kind of layer: its receptive field, and how to run it on windows of its inputs.

``RULES`` maps a module type, a function or a method's name to a function that reads the call's options and returns a
``LocalOp``, or None if this call is not local. Operations without a rule are computed on whole maps.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from cnnviz.attribution.incremental.convolution import PreparedConv2d
from cnnviz.attribution.incremental.windows import IDENTITY
from cnnviz.network.geometry import ConvWindow, ConvWindows, as_pair, conv_windows

Size = tuple[int, int]


@dataclass(frozen=True)
class OpCall:
    """One operation of the graph: its node, the module it calls (if any), and the map sizes before and after it."""

    node: fx.Node
    module: nn.Module | None
    before: Size
    after: Size

    def options(self, **defaults: Any) -> dict[str, Any]:
        """The call's options by name: the module's attributes, or the arguments after the first, in this order."""
        if self.module is not None:
            return {name: getattr(self.module, name, default) for name, default in defaults.items()}
        given = dict(zip(defaults, self.node.args[1:], strict=False)) | dict(self.node.kwargs)
        return {name: given.get(name, default) for name, default in defaults.items()}


@dataclass(frozen=True)
class LocalOp:
    """A local operation: each output cell reads only the cells under its vertical and horizontal window.

    ``run`` computes a window (B, C, h, w) from an input window that already includes halo and padding, the latter
    filled with ``fill``; None for an elementwise operation, which runs as it is in the graph. ``scale`` holds factors
    for each output row and column (average pooling over a padded border).
    """

    windows: ConvWindows = (IDENTITY, IDENTITY)
    run: Callable[[Tensor], Tensor] | None = None
    fill: float = 0.0
    scale: tuple[Tensor, Tensor] | None = None


ELEMENTWISE = LocalOp()


def _elementwise(call: OpCall) -> LocalOp | None:
    return ELEMENTWISE if call.before == call.after else None


def _concatenation(call: OpCall) -> LocalOp | None:
    options = call.options(dim=0)
    return ELEMENTWISE if options["dim"] in (1, -3) else None


def _convolution(call: OpCall) -> LocalOp | None:
    module = call.module
    assert isinstance(module, PreparedConv2d)
    conv = module.conv
    if conv.padding_mode != "zeros":
        return None

    def convolve(crop: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(crop, weight, bias, conv.stride, 0, conv.dilation, conv.groups)

    windows = conv_windows(conv.kernel_size, conv.stride, conv.padding, conv.dilation)
    return LocalOp(windows, lambda crop: module.on_windows(crop, convolve))


def _max_pool(call: OpCall) -> LocalOp | None:
    options = call.options(kernel_size=1, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False)
    if options["return_indices"]:
        return None
    kernel, dilation = as_pair(options["kernel_size"]), as_pair(options["dilation"])
    stride = as_pair(options["stride"] or kernel)

    def run(crop: Tensor) -> Tensor:
        return F.max_pool2d(crop, kernel, stride, 0, dilation)

    return LocalOp(conv_windows(kernel, stride, options["padding"], dilation), run, fill=-math.inf)


def _average_pool(call: OpCall) -> LocalOp | None:
    options = call.options(
        kernel_size=1, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
    )
    kernel = as_pair(options["kernel_size"])
    stride, padding = as_pair(options["stride"] or kernel), as_pair(options["padding"])
    windows = conv_windows(kernel, stride, padding)
    if options["divisor_override"]:
        divisor = int(options["divisor_override"])
        return LocalOp(windows, lambda crop: F.avg_pool2d(crop, kernel, stride, divisor_override=divisor))
    rim = padding if options["count_include_pad"] else (0, 0)
    counts = [_cells_averaged(*axis) for axis in zip(windows, call.before, call.after, rim, strict=True)]
    if all(bool((count == k).all()) for count, k in zip(counts, kernel, strict=True)):
        return LocalOp(windows, lambda crop: F.avg_pool2d(crop, kernel, stride))
    return LocalOp(
        windows,
        lambda crop: F.avg_pool2d(crop, kernel, stride, divisor_override=1),
        scale=(1 / counts[0], 1 / counts[1]),
    )


def _cells_averaged(window: ConvWindow, before: int, after: int, rim: int) -> Tensor:
    """Number of cells averaged by each output cell (after,), counting those in the ``rim`` of padding."""
    first = torch.arange(after) * window.stride - window.padding
    last = (first + window.kernel).clamp(max=before + rim)
    return (last - first.clamp(min=-rim)).double()


def _adaptive_pool(pool: Callable[..., Tensor]) -> Callable[[OpCall], LocalOp | None]:
    """The rule for adaptive pooling: plain pooling if the input is a multiple of the output, else not local."""

    def rule(call: OpCall) -> LocalOp | None:
        if any(before % after for before, after in zip(call.before, call.after, strict=True)):
            return None
        rows, cols = (before // after for before, after in zip(call.before, call.after, strict=True))
        kernel = (rows, cols)
        return LocalOp(conv_windows(kernel), lambda crop: pool(crop, kernel))

    return rule


def is_global_mean(call: OpCall) -> bool:
    """Whether the operation averages each channel over the whole map."""
    name = getattr(call.node.target, "__name__", call.node.target)
    if isinstance(call.module, nn.AdaptiveAvgPool2d) or name == "adaptive_avg_pool2d":
        return call.after == (1, 1)
    if name != "mean" or call.module is not None:
        return False
    dims = call.options(dim=())["dim"]
    return isinstance(dims, Sequence) and {d % 4 for d in dims} == {2, 3}


_ELEMENTWISE_MODULES = (
    nn.BatchNorm2d, nn.Identity, nn.Dropout, nn.Dropout2d, nn.LocalResponseNorm,
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Softsign, nn.LogSigmoid,
)  # fmt: skip
_ELEMENTWISE_FUNCTIONS = (
    operator.add, operator.sub, operator.mul, operator.truediv, operator.neg,
    torch.add, torch.sub, torch.mul, torch.div, torch.neg, torch.abs, torch.clamp,
    torch.relu, torch.relu_, torch.sigmoid, torch.tanh, F.sigmoid, F.tanh, F.softplus,
    F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.celu, F.gelu, F.silu, F.mish, F.hardtanh, F.hardsigmoid,
    F.hardswish, F.dropout, F.dropout2d,
)  # fmt: skip
_ELEMENTWISE_METHODS = (
    "add",
    "sub",
    "mul",
    "div",
    "neg",
    "abs",
    "clamp",
    "relu",
    "sigmoid",
    "tanh",
    "contiguous",
)

Rule = Callable[[OpCall], LocalOp | None]

RULES: dict[Any, Rule] = {
    **dict.fromkeys((*_ELEMENTWISE_MODULES, *_ELEMENTWISE_FUNCTIONS, *_ELEMENTWISE_METHODS), _elementwise),
    **dict.fromkeys((torch.cat, torch.concat), _concatenation),
    PreparedConv2d: _convolution,
    **dict.fromkeys((nn.MaxPool2d, F.max_pool2d, torch.max_pool2d), _max_pool),
    **dict.fromkeys((nn.AvgPool2d, F.avg_pool2d), _average_pool),
    **dict.fromkeys((nn.AdaptiveAvgPool2d, F.adaptive_avg_pool2d), _adaptive_pool(F.avg_pool2d)),
    **dict.fromkeys((nn.AdaptiveMaxPool2d, F.adaptive_max_pool2d), _adaptive_pool(F.max_pool2d)),
}
