"""Overwriting: taken out of a graph where the model's author put it, put in where it is safe and saves memory."""

from __future__ import annotations

import copy
import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from cnnviz.attribution.incremental.convolution import PreparedConv2d
from cnnviz.attribution.incremental.errors import NotIncremental

_OUT_OF_PLACE: dict[Any, Any] = {
    operator.iadd: operator.add, operator.isub: operator.sub,
    operator.imul: operator.mul, operator.itruediv: operator.truediv,
    F.relu_: F.relu, torch.relu_: torch.relu,
    "add_": "add", "sub_": "sub", "mul_": "mul", "div_": "div", "relu_": "relu", "clamp_": "clamp",
}  # fmt: skip
_RECTIFIERS = (nn.ReLU, F.relu, torch.relu, "relu")
_NEW = (PreparedConv2d, nn.BatchNorm2d, operator.add, torch.add)
"""Operations whose result is nobody else's."""


def without_in_place(graph_module: fx.GraphModule) -> fx.GraphModule:
    """The graph with every in-place operation writing to a new tensor; changes the graph it is given.

    Raises NotIncremental where somebody later reads what was overwritten, or where an in-place operation is not
    known: then only the original does what it does.
    """
    later: set[fx.Node] = set(graph_module.graph.nodes)
    for node in graph_module.graph.nodes:
        later.discard(node)
        if not _is_in_place(graph_module, node):
            continue
        if any(user in later for user in node.all_input_nodes[0].users):
            raise NotIncremental(f"{node.name} overwrites what is read again later")
        _make_out_of_place(graph_module, node)
    graph_module.recompile()
    return graph_module


def _is_in_place(graph_module: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return getattr(graph_module.get_submodule(str(node.target)), "inplace", False) is True
    if node.op == "call_function":
        return node.target in _OUT_OF_PLACE or bool(node.kwargs.get("inplace"))
    return node.op == "call_method" and str(node.target).endswith("_") and not str(node.target).endswith("__")


def _make_out_of_place(graph_module: fx.GraphModule, node: fx.Node) -> None:
    if node.op == "call_module":
        module = copy.copy(graph_module.get_submodule(str(node.target)))
        module.inplace = False  # type: ignore[assignment]
        graph_module.set_submodule(str(node.target), module)
    elif node.target in _OUT_OF_PLACE:
        node.target = _OUT_OF_PLACE[node.target]
    elif "inplace" in node.kwargs:
        node.kwargs = {**node.kwargs, "inplace": False}
    else:
        raise NotIncremental(f"the in-place operation {node.target} is not known")


def rectify_in_place(graph_module: fx.GraphModule) -> fx.GraphModule:
    """The graph with each ReLU overwriting what it alone reads, where that is new; changes the graph it is given."""
    for node in graph_module.graph.nodes:
        module = graph_module.get_submodule(str(node.target)) if node.op == "call_module" else None
        if (node.target if module is None else type(module)) not in _RECTIFIERS:
            continue
        (source,) = node.all_input_nodes
        before = graph_module.get_submodule(str(source.target)) if source.op == "call_module" else None
        if len(source.users) == 1 and (source.target if before is None else type(before)) in _NEW:
            node.op, node.target, node.args, node.kwargs = "call_function", torch.relu_, (source,), {}
    graph_module.recompile()
    return graph_module
