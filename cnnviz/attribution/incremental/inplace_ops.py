"""In-place ReLUs, where that is safe and saves memory."""

from __future__ import annotations

import operator

import torch
import torch.nn.functional as F
from torch import fx, nn

from cnnviz.attribution.incremental.convolution import PreparedConv2d
from cnnviz.network.module_copy import has_hooks

_RECTIFIERS = (nn.ReLU, F.relu, torch.relu, "relu")
_NEW = (PreparedConv2d, nn.BatchNorm2d, operator.add, torch.add)
"""Operations that return a new tensor, never a view of their input."""


def relu_in_place(graph_module: fx.GraphModule) -> fx.GraphModule:
    """The given graph, changed: ReLUs overwrite their input where it is a new tensor that nothing else reads.

    Modules with hooks stay as they are: a hook may change the ReLU's output, or keep its input.
    """
    for node in graph_module.graph.nodes:
        if _kind(graph_module, node) not in _RECTIFIERS:
            continue
        (source,) = node.all_input_nodes
        if len(source.users) == 1 and _kind(graph_module, source) in _NEW:
            node.op, node.target, node.args, node.kwargs = "call_function", torch.relu_, (source,), {}
    graph_module.recompile()
    return graph_module


def _kind(graph_module: fx.GraphModule, node: fx.Node) -> object:
    """The class of the module that a node calls, None for one with hooks; the function or method of other nodes."""
    if node.op != "call_module":
        return node.target
    module = graph_module.get_submodule(str(node.target))
    return None if has_hooks(module) else type(module)
