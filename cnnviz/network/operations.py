"""The operations of a graph's nodes by PyTorch's names: ``Conv2d`` for modules, ``conv2d`` for functions."""

from __future__ import annotations

import inspect
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import fx, nn

from cnnviz.network.aten import function_name
from cnnviz.network.fast.conv import Conv2d
from cnnviz.network.hooked import module_read
from cnnviz.network.module_copy import has_hooks


def name_set(text: str) -> frozenset[str]:
    """The words of a text, as a set of names."""
    return frozenset(text.split())


_LIBRARIES = {"", "builtins", "_operator", "operator", "math", "torch", "torchvision"}

_PERMUTING = name_set("T mT H mH")
"""Attributes of a tensor that permute its axes."""

_SPELLINGS = {
    "iadd": "add",
    "isub": "sub",
    "subtract": "sub",
    "rsub": "sub",
    "imul": "mul",
    "multiply": "mul",
    "truediv": "div",
    "itruediv": "div",
    "true_divide": "div",
    "divide": "div",
    "ipow": "pow",
    "clip": "clamp",
    "concat": "cat",
    "concatenate": "cat",
    "negative": "neg",
    "moveaxis": "movedim",
    "swapaxes": "transpose",
    "swapdims": "transpose",
    "imatmul": "matmul",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "absolute": "abs",
}


POINTWISE = name_set(
    """
    Identity ReLU ReLU6 LeakyReLU PReLU RReLU ELU CELU SELU GELU SiLU Mish Hardswish Hardsigmoid Hardtanh Hardshrink
    Softshrink Tanhshrink Softplus Softsign Sigmoid LogSigmoid Tanh Threshold
    Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout

    relu relu6 leaky_relu prelu rrelu elu celu selu gelu silu mish hardswish hardsigmoid hardtanh hardshrink softshrink
    tanhshrink softplus softsign sigmoid logsigmoid log_sigmoid tanh threshold
    dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout stochastic_depth
    add sub mul div pow floordiv floor_divide remainder fmod neg positive abs exp exp2 expm1 log log2 log10 log1p sqrt
    rsqrt square reciprocal sin cos tan asin acos atan atan2 sinh cosh erf sign sgn floor ceil round trunc frac
    clamp clamp_min clamp_max maximum minimum fmax fmin lerp addcmul addcdiv where masked_fill nan_to_num
    gt ge lt le eq ne logical_and logical_or logical_xor logical_not and or xor invert isnan
    contiguous clone detach to type type_as float double half bfloat16 cpu cuda
    """
)
"""Elementwise operations."""


def operation(root: nn.Module, node: fx.Node) -> str | None:
    """The name of a node's operation; None for code that is not PyTorch's.

    For a module the class of ``torch.nn`` whose ``forward`` it runs; for a function or method its name in one spelling
    (``add`` for ``iadd``, ``add_`` and ``torch.add``).
    """
    module = module_of(root, node) or module_read(root, node)
    if module is not None:
        return class_name(module)
    if node.op == "call_method":
        return plain_name(str(node.target))
    if node.op == "call_function":
        if node.target is getattr:
            return str(node.args[1]) if node.args[1] in _PERMUTING else "getattr"
        home = str(getattr(node.target, "__module__", None) or "").partition(".")[0]
        return plain_name(function_name(node.target)) if home in _LIBRARIES else None
    return None


def class_name(module: nn.Module) -> str | None:
    """The class of ``torch.nn`` whose forward pass ``module`` runs, also where it is one of ``network.fast``."""
    if "forward" in module.__dict__:
        return None
    for kind in type(module).__mro__:
        if kind.__module__.startswith("torch.nn.modules."):
            return kind.__name__
        if "forward" in vars(kind) and not kind.__module__.startswith("cnnviz."):
            return None
    return None


def plain_name(name: str) -> str:
    """An operation's name in one spelling: ``add`` for ``iadd`` and ``add_``."""
    name = name.strip("_")
    return _SPELLINGS.get(name, name)


def module_of(root: nn.Module, node: fx.Node) -> nn.Module | None:
    """The module that a node of the graph of ``root`` calls; None for functions and methods."""
    return root.get_submodule(str(node.target)) if node.op == "call_module" else None


def is_plain_conv(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a module is ``nn.Conv2d`` itself, or cnnviz's faster one, not a subclass that may do more."""
    return type(module) in (nn.Conv2d, Conv2d)


def is_relu(root: nn.Module, node: fx.Node) -> bool:
    """Whether a node of the graph of ``root`` is a ReLU, as a module without hooks, or as a function."""
    module = module_of(root, node)
    return (type(module) is nn.ReLU and not has_hooks(module)) or (node.op, node.target) in _RELUS


def is_max_pool(root: nn.Module, node: fx.Node) -> bool:
    """Whether a node of the graph of ``root`` is a max pooling that returns maps alone, as a module or a function."""
    module = module_of(root, node)
    if isinstance(module, nn.MaxPool2d):
        return not module.return_indices and not has_hooks(module)
    return (node.op, node.target) in _MAX_POOLS and not _returns_indices(node)


def _returns_indices(node: fx.Node) -> bool:
    """Whether a functional max pooling returns indices too, by keyword or by its seventh argument."""
    return bool(node.kwargs.get("return_indices")) or (len(node.args) > 6 and node.args[6] is True)


_RELUS = {("call_function", F.relu), ("call_function", torch.relu), ("call_method", "relu")}
_MAX_POOLS = {("call_function", F.max_pool2d), ("call_function", torch.max_pool2d)}


def operation_label(root: nn.Module, node: fx.Node) -> str:
    """A node's operation for messages: its module's class, or its function's name."""
    if node.op == "call_module":
        return type(root.get_submodule(str(node.target))).__name__
    name = node.target if isinstance(node.target, str) else function_name(node.target) or str(node.target)
    return name.strip("_")


def argument(node: fx.Node, position: int, name: str, default: Any = inspect.Parameter.empty) -> Any:
    """A node's argument by position or name; KeyError where it is missing and there is no default."""
    if position < len(node.args):
        return node.args[position]
    if default is inspect.Parameter.empty:
        return node.kwargs[name]
    return node.kwargs.get(name, default)
