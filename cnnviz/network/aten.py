"""Operations of an exported graph (ATen's) as the functions of torch that all readers of graphs know."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

Call = tuple[Any, tuple[Any, ...], dict[str, Any]]
"""A function, its arguments and its keyword arguments."""

_OVERLOAD = type(torch.ops.aten.relu.default)

_SAME_ARGUMENTS: dict[str, Callable[..., Any]] = {
    name: getattr(torch, name)
    for name in (
        "relu", "sigmoid", "tanh", "add", "sub", "mul", "div", "neg", "abs", "clamp", "cat", "stack", "mean", "sum",
        "amax", "amin", "softmax", "flatten", "permute", "transpose", "reshape", "unsqueeze", "squeeze", "matmul",
        "bmm", "conv2d", "max_pool2d", "select", "chunk", "split", "where", "pow", "exp", "log", "sqrt", "rsqrt",
        "minimum", "maximum", "roll", "flip",
    )
} | {
    name: getattr(F, name)
    for name in (
        "linear", "avg_pool2d", "adaptive_avg_pool2d", "gelu", "silu", "mish", "hardswish", "hardsigmoid", "hardtanh",
        "leaky_relu", "relu6", "softplus", "dropout", "pad", "pixel_shuffle",
    )
}  # fmt: skip
"""ATen's names -> functions that take the same arguments in the same order."""

BATCH_NORM = "_native_batch_norm_legit_no_training"
"""ATen's batch normalization in evaluation mode, whose first output is the map."""

_LAST_LEFT_OUT = {"layer_norm": (F.layer_norm, 5), "group_norm": (F.group_norm, 5), "elu": (F.elu, 2)}
"""ATen's names -> functions that take so many of the arguments."""


def is_aten(target: object) -> bool:
    """Whether a node's target is one of ATen's operations."""
    return isinstance(target, _OVERLOAD)


def function_name(target: Any) -> str:
    """The name of a function, or of one of ATen's operations without its overload: ``conv2d``."""
    if is_aten(target):
        return str(target.name().partition("::")[2].partition(".")[0])
    return str(getattr(target, "__name__", ""))


def out_of_place(target: Any) -> Any:
    """What an operation as ``relu_`` writes to its input, as one that writes to a new tensor; None without one."""
    packet = getattr(torch.ops.aten, function_name(target).rstrip("_"), None)
    overload = target.name().partition(".")[2] or "default"
    return getattr(packet, overload, None)


def as_torch_call(node: fx.Node) -> Call:
    """The call of one of ATen's operations as a call of torch's, where there is one that means the same."""
    as_it_is = node.target, node.args, dict(node.kwargs)
    if not is_aten(node.target):
        return as_it_is
    name = function_name(node.target)
    if name in _SAME_ARGUMENTS:
        return _SAME_ARGUMENTS[name], node.args, dict(node.kwargs)
    if name in _LAST_LEFT_OUT:
        function, count = _LAST_LEFT_OUT[name]
        return function, node.args[:count], dict(node.kwargs)
    return _OTHERS[name](node.args) or as_it_is if name in _OTHERS else as_it_is


def _sliced(args: tuple[Any, ...]) -> Call | None:
    """``x[:, start:end:step]``; None where a bound is computed."""
    defaults: tuple[Any, ...] = (None, 0, None, None, 1)
    x, dim, start, end, step = args + defaults[len(args) :]
    if not all(isinstance(each, int | None) for each in (dim, start, end, step)):
        return None
    taken = slice(start or None, None if end == sys.maxsize else end, None if step == 1 else step)
    before: list[Any] = [slice(None)] * dim
    return operator.getitem, (x, (*before, taken)), {}


def _viewed(args: tuple[Any, ...]) -> Call:
    return torch.reshape, args, {}  # the same values, for any memory layout


def _normalized(args: tuple[Any, ...]) -> Call:
    x, weight, bias, mean, variance, *rest = args
    momentum, eps = rest[-2:] if len(rest) == 2 else rest[1:3]
    training = False if len(rest) == 2 else rest[0]
    return F.batch_norm, (x, mean, variance, weight, bias, training, momentum, eps), {}


def _convolved(args: tuple[Any, ...]) -> Call | None:
    x, weight, bias, stride, padding, dilation, is_transposed, _, groups = args
    return None if is_transposed else (torch.conv2d, (x, weight, bias, stride, padding, dilation, groups), {})


_OTHERS: dict[str, Callable[[tuple[Any, ...]], Call | None]] = {
    "slice": _sliced,
    "view": _viewed,
    "_unsafe_view": _viewed,
    "batch_norm": _normalized,
    BATCH_NORM: _normalized,
    "convolution": _convolved,
}
"""ATen's names -> from their arguments to a call of torch's."""
