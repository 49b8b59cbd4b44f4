"""Operations that guided backpropagation and the deconvnet support: rectifiers, and operations between them.

Those between rectifiers are linear, or select among their inputs (poolings, indexing). All others are unsupported: with
other nonlinearities the result would be another gradient under the same name.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from cnnviz.network.operations import argument, name_set, operation, operation_label

Bounds = tuple[float, float | None]
"""The range of inputs for which a rectifier is the identity; None for no upper bound."""

Values = Mapping[fx.Node, Any]


_LINEAR = name_set(
    """
    Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d Linear Identity Flatten Unflatten
    BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm LayerNorm RMSNorm GroupNorm InstanceNorm1d InstanceNorm2d
    InstanceNorm3d LocalResponseNorm CrossMapLRN2d
    MaxPool1d MaxPool2d MaxPool3d AvgPool1d AvgPool2d AvgPool3d FractionalMaxPool2d FractionalMaxPool3d
    AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d
    MaxUnpool1d MaxUnpool2d MaxUnpool3d Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout
    Upsample UpsamplingNearest2d UpsamplingBilinear2d PixelShuffle PixelUnshuffle ChannelShuffle Fold Unfold
    ZeroPad1d ZeroPad2d ZeroPad3d ConstantPad1d ConstantPad2d ConstantPad3d ReflectionPad1d ReflectionPad2d
    ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d CircularPad1d CircularPad2d CircularPad3d

    add sub neg positive cat stack hstack vstack dstack sum mean cumsum diff
    batch_norm layer_norm rms_norm group_norm instance_norm local_response_norm normalize
    max_pool1d max_pool2d max_pool3d max_pool2d_with_indices avg_pool1d avg_pool2d avg_pool3d
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d amax amin
    dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout stochastic_depth
    interpolate upsample grid_sample pad pixel_shuffle pixel_unshuffle channel_shuffle fold unfold
    flatten unflatten ravel view view_as reshape reshape_as permute transpose movedim t contiguous clone detach
    to type type_as float double half bfloat16 cpu cuda expand expand_as broadcast_to repeat tile repeat_interleave
    squeeze unsqueeze unbind chunk split tensor_split hsplit vsplit narrow select index_select gather take getitem
    roll flip fliplr flipud rot90 getattr T mT H mH
    fill select_scatter slice_scatter lift_fresh_copy
    """
)
"""Operations that are linear, reorder values, take a maximum, or normalize, with one or more feature maps as input."""

_PRODUCTS = name_set(
    """
    mul div matmul mm bmm mv dot einsum linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
    addmm baddbmm addmv addcmul addcdiv tensordot outer bilinear lerp
    """
)
"""Linear in one operand that depends on the input, if the others are weights or constants."""

_DIVISORS = {"div": 1, "addcdiv": 2}
"""Index of the argument that is a divisor, which may not depend on the input."""

_SHAPE_ONLY = name_set("zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_tensor")
"""Functions of a tensor's shape, not of its values."""

_NORMALIZING = name_set("Softmax Softmax2d LogSoftmax softmax log_softmax")
"""Supported as a network's last operation, whose output is the score."""

_RESHAPING = name_set("flatten Flatten view reshape squeeze contiguous float double to Identity getitem")

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}


def is_linear(name: str | None) -> bool:
    """Whether an operation of that name is linear, reorders values, takes a maximum, or normalizes."""
    return name in _LINEAR


def depends_on_input(root: nn.Module, node: fx.Node, value: Any, known: Collection[fx.Node]) -> bool:
    """Whether a node's value depends on the values of the input (not only on its shape).

    ``known`` are the earlier nodes for which this is true.
    """
    name = operation(root, node)
    if name in _SHAPE_ONLY or not (_holds_tensor(value) or name in {"item", "tolist"}):
        return False
    return any(source in known for source in node.all_input_nodes)


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return isinstance(value, Tensor) or (isinstance(value, tuple | list) and any(map(_holds_tensor, value)))


def unsupported_operation(root: nn.Module, node: fx.Node, dependent: Collection[fx.Node]) -> str | None:
    """The name of an operation that the rules do not support; None if they do.

    ``dependent`` are the nodes whose values depend on the input; ``node`` is no rectifier.
    """
    name = operation(root, node)
    if node.op not in {"call_module", "call_function", "call_method"} or name in _LINEAR:
        return None
    if name in _PRODUCTS:
        return _unsupported_product(root, node, dependent)
    allowed = (
        (name in {"max", "min"} and not any(isinstance(each, fx.Node) for each in _second(node)))  # over an axis
        or (name == "where" and _where_arguments(node)[0] not in dependent)
        or (name in _NORMALIZING and _is_last(root, node))
        or (name in _COMPARISONS and all(_selection(root, user) for user in node.users))  # a part of a rectifier
    )
    return None if allowed else operation_label(root, node)


def _unsupported_product(root: nn.Module, node: fx.Node, dependent: Collection[fx.Node]) -> str | None:
    taken: list[fx.Node] = []  # with repetitions: ``x * x`` has it twice
    fx.node.map_arg((node.args, node.kwargs), taken.append)
    divisor = _DIVISORS.get(str(operation(root, node)), len(node.args))
    if divisor < len(node.args) and node.args[divisor] in dependent:
        return "a division by feature maps"
    many = sum(each in dependent for each in taken) > 1
    return "a product of feature maps" if many else None


def _second(node: fx.Node) -> tuple[Any, ...]:
    return (*node.args[1:2], *(node.kwargs.get(name) for name in ("other", "dim")))


def _is_last(root: nn.Module, node: fx.Node) -> bool:
    """Whether nothing but the graph's output uses a node, reshaping aside."""
    return all(
        user.op == "output" or (operation(root, user) in _RESHAPING and _is_last(root, user)) for user in node.users
    )


def rectifier(
    root: nn.Module, node: fx.Node, values: Values, dependent: Collection[fx.Node]
) -> tuple[fx.Node, Bounds] | None:
    """The input of a rectifier and its bounds; None for any other node.

    Rectifiers are ``relu``, ``clamp(min=0)``, ``maximum(x, zeros)``, ``threshold(x, 0, 0)``, ``where(x > 0, x, 0)``,
    ``masked_fill(x < 0, 0)``, and bounded ones as ReLU6. ``values`` are the values computed so far; ``dependent`` are
    the nodes that depend on the input.
    """
    name = operation(root, node)
    source: Any
    found: Bounds | None
    if node.op == "call_module":
        source, found = node.all_input_nodes[0], bounds_of_module(root.get_submodule(str(node.target)), name)
    elif name in {"maximum", "fmax", "max"}:
        source, found = _larger_of_two(node, values, dependent), _UNBOUNDED
    elif name in {"where", "masked_fill"}:
        source, other = _selection(root, node) or (None, None)
        found = _UNBOUNDED if _is_zero(other, values, dependent) else None
    else:
        source, found = argument(node, 0, "input", None), _bounds_of_call(name, node, values, dependent)
    return (source, found) if isinstance(source, fx.Node) and source in dependent and found is not None else None


_UNBOUNDED: Bounds = (0.0, None)


def bounds_of_module(module: nn.Module, name: str | None) -> Bounds | None:
    """The bounds of a module that is a rectifier; None for any other. ``name`` is the class whose forward it runs."""
    if name in {"ReLU6", "Hardtanh"}:
        return _from_zero(module.min_val, module.max_val)
    if name == "Threshold":
        return _UNBOUNDED if module.threshold == module.value == 0 else None
    return _UNBOUNDED if name == "ReLU" else None


def _bounds_of_call(name: str | None, node: fx.Node, values: Values, dependent: Collection[fx.Node]) -> Bounds | None:
    if name == "relu6":
        return 0.0, 6.0
    if name == "hardtanh":
        return _from_zero(argument(node, 1, "min_val", -1.0), argument(node, 2, "max_val", 1.0))
    if name == "threshold":
        return _UNBOUNDED if argument(node, 1, "threshold") == argument(node, 2, "value") == 0 else None
    if name == "clamp_min":
        return _UNBOUNDED if _is_zero(argument(node, 1, "min"), values, dependent) else None
    if name == "clamp":
        low, high = argument(node, 1, "min", None), argument(node, 2, "max", None)
        return _from_zero(0, high) if _is_zero(low, values, dependent) else None
    return _UNBOUNDED if name == "relu" else None


def _from_zero(low: Any, high: Any) -> Bounds | None:
    """The bounds of a clamp from ``low`` to ``high``; None unless the lower one is zero."""
    if low != 0 or not (high is None or (isinstance(high, int | float) and high > 0)):
        return None
    return 0.0, None if high is None or high == math.inf else float(high)


def _larger_of_two(node: fx.Node, values: Values, dependent: Collection[fx.Node]) -> fx.Node | None:
    """The x of ``maximum(x, zeros)`` or ``maximum(zeros, x)``; ``max`` with a number is over an axis."""
    pair = [argument(node, 0, "input", None), argument(node, 1, "other", None)]
    if not all(isinstance(each, fx.Node) and isinstance(values.get(each), Tensor) for each in pair):
        return None
    return next((each for each, other in (pair, pair[::-1]) if _is_zero(other, values, dependent)), None)


def _is_zero(argument: Any, values: Values, dependent: Collection[fx.Node]) -> bool:
    """Whether an argument is 0, or a tensor of zeros that does not depend on the input."""
    if isinstance(argument, fx.Node):
        argument = None if argument in dependent else values.get(argument)
    if isinstance(argument, Tensor):
        return not bool(torch.count_nonzero(argument))
    return isinstance(argument, int | float) and argument == 0


def _selection(root: nn.Module, node: fx.Node) -> tuple[fx.Node, Any] | None:
    """The x and y of ``where(x > 0, x, y)`` or ``x.masked_fill(x < 0, y)``, or of equivalent calls."""
    if operation(root, node) == "masked_fill":
        condition, first, second = (
            argument(node, place, name, None) for place, name in ((1, "mask"), (2, "value"), (0, "input"))
        )
    elif operation(root, node) == "where":
        condition, first, second = _where_arguments(node)
    else:
        return None
    name = operation(root, condition) if isinstance(condition, fx.Node) else None
    if name not in _COMPARISONS:
        return None
    left, right = argument(condition, 0, "input", None), argument(condition, 1, "other", None)
    holds = _COMPARISONS[name]
    compared, limit, above = (left, right, holds(1, 0)) if isinstance(left, fx.Node) else (right, left, holds(0, 1))
    kept, other = (first, second) if above else (second, first)
    return (compared, other) if isinstance(limit, int | float) and limit == 0 and kept is compared else None


def _where_arguments(node: fx.Node) -> tuple[Any, Any, Any]:
    """The arguments of ``where``: condition, value where it holds, value where it does not."""
    if node.op == "call_method":
        return argument(node, 1, "condition", None), argument(node, 0, "self", None), argument(node, 2, "other", None)
    return argument(node, 0, "condition", None), argument(node, 1, "input", None), argument(node, 2, "other", None)
