"""What a graph's nodes do, by PyTorch's own names: ``Conv2d`` for modules, ``conv2d`` for functions and methods."""

from __future__ import annotations

import inspect
from typing import Any

from torch import fx, nn

_LIBRARIES = {"", "builtins", "_operator", "operator", "math", "torch", "torchvision"}

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


def operation(root: nn.Module, node: fx.Node) -> str | None:
    """The name of what a node of the graph of ``root`` does; None for code that is not PyTorch's.

    A module goes by the class of ``torch.nn`` whose ``forward`` it runs; a function or method by its name, however it
    is spelled (``iadd``, ``add_``, ``torch.add``: ``add``).
    """
    if node.op == "call_module":
        return _class_name(root.get_submodule(str(node.target)))
    if node.op == "call_method":
        return _plain(str(node.target))
    if node.op == "call_function":
        home = str(getattr(node.target, "__module__", None) or "").partition(".")[0]
        return _plain(getattr(node.target, "__name__", "")) if home in _LIBRARIES else None
    return None


def _class_name(module: nn.Module) -> str | None:
    """The class of ``torch.nn`` whose forward pass ``module`` runs, also where cnnviz runs it a quicker way."""
    if "forward" in module.__dict__:
        return None
    for kind in type(module).__mro__:
        if kind.__module__.startswith("torch.nn.modules."):
            return kind.__name__
        if "forward" in vars(kind) and not kind.__module__.startswith("cnnviz."):
            return None
    return None


def _plain(name: str) -> str:
    name = name.strip("_")
    return _SPELLINGS.get(name, name)


def called(root: nn.Module, node: fx.Node) -> str:
    """What a person would call a node's operation: its module's class, or its function's name."""
    if node.op == "call_module":
        return type(root.get_submodule(str(node.target))).__name__
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    return name.strip("_")


def given(node: fx.Node, position: int, name: str, default: Any = inspect.Parameter.empty) -> Any:
    """An argument of a node, by position or name; KeyError where it is not given and has no default."""
    if position < len(node.args):
        return node.args[position]
    if default is inspect.Parameter.empty:
        return node.kwargs[name]
    return node.kwargs.get(name, default)


def depends_on_input(graph: fx.Graph) -> set[fx.Node]:
    """The nodes that the input has a part in; the others are made of weights and constants alone."""
    found: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder" or any(source in found for source in node.all_input_nodes):
            found.add(node)
    return found
