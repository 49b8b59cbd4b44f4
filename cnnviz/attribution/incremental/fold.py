"""Preparing a graph for many forward passes: batch normalisation folded into convolutions, nothing in place.

The prepared graph shares its parameters with the original.
"""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from cnnviz.attribution.incremental.errors import NotIncremental

_OUT_OF_PLACE: dict[Any, Any] = {
    operator.iadd: operator.add, operator.isub: operator.sub,
    operator.imul: operator.mul, operator.itruediv: operator.truediv,
    F.relu_: F.relu, torch.relu_: torch.relu,
    "add_": "add", "sub_": "sub", "mul_": "mul", "div_": "div", "relu_": "relu", "clamp_": "clamp",
}  # fmt: skip


class FoldedConv2d(nn.Module):
    """A convolution and the batch normalisation after it, in evaluation mode, as one convolution.

    y = γ (Wx + b − μ) / √(σ² + ε) + β is a convolution with scaled weights, or a convolution whose output is scaled:
    whichever of the two is smaller is scaled, when it runs. A second copy of all weights would outweigh the feature
    maps.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        assert norm.running_mean is not None and norm.running_var is not None
        self.conv = conv
        scale = (norm.running_var + norm.eps).rsqrt()
        scale = scale if norm.weight is None else scale * norm.weight
        shift = -norm.running_mean if conv.bias is None else conv.bias - norm.running_mean
        self.scale = scale[:, None, None, None]
        self.bias = shift * scale if norm.bias is None else shift * scale + norm.bias

    def forward(self, x: Tensor) -> Tensor:
        """The normalised convolution of ``x`` (N, C, H, W)."""
        return self.convolve(x, self.conv._conv_forward)

    def convolve(self, x: Tensor, convolution: Callable[[Tensor, Tensor, Tensor | None], Tensor]) -> Tensor:
        """The same by a ``convolution`` of an input, weights and a bias that pads as it likes."""
        weight = self.conv.weight
        cells = x.numel() // x.shape[1] // math.prod(self.conv.stride)
        if cells > weight[0].numel():
            return convolution(x, weight * self.scale, self.bias)
        return convolution(x, weight, None).mul_(self.scale.view(1, -1, 1, 1)).add_(self.bias.view(1, -1, 1, 1))


@torch.no_grad()
def fold_batch_norm(graph_module: fx.GraphModule) -> fx.GraphModule:
    """A copy of the graph in which each batch normalisation after a convolution is part of the convolution.

    The original is not touched; a convolution whose output is also read elsewhere stays as it is.
    """
    prepared = fx.GraphModule(graph_module, copy.deepcopy(graph_module.graph))
    for node in list(prepared.graph.nodes):
        source = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) > 1:
            continue
        norm, conv = prepared.get_submodule(str(node.target)), prepared.get_submodule(str(source.target))
        if type(norm) is nn.BatchNorm2d and type(conv) is nn.Conv2d and _called_once(prepared, source.target):
            if norm.training or norm.running_var is None:
                continue
            prepared.set_submodule(str(source.target), FoldedConv2d(conv, norm))
            node.replace_all_uses_with(source)
            prepared.graph.erase_node(node)
    prepared.graph.eliminate_dead_code()
    prepared.recompile()
    return prepared


def _called_once(graph_module: fx.GraphModule, target: object) -> bool:
    return sum(node.op == "call_module" and node.target == target for node in graph_module.graph.nodes) == 1


def without_in_place(graph_module: fx.GraphModule) -> fx.GraphModule:
    """The graph with every in-place operation writing to a new tensor; changes the graph it is given.

    Raises NotIncremental where somebody later reads what was overwritten, or where an in-place operation is
    not
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


_RECTIFIERS = (nn.ReLU, F.relu, torch.relu, "relu")


def rectify_in_place(graph_module: fx.GraphModule) -> fx.GraphModule:
    """The graph with each ReLU that alone reads a convolution overwriting its output; changes the graph it is given."""
    for node in graph_module.graph.nodes:
        module = graph_module.get_submodule(str(node.target)) if node.op == "call_module" else None
        if (node.target if module is None else type(module)) not in _RECTIFIERS:
            continue
        (source,) = node.all_input_nodes
        if len(source.users) == 1 and source.op == "call_module":
            if isinstance(graph_module.get_submodule(str(source.target)), nn.Conv2d | FoldedConv2d):
                node.op, node.target, node.args, node.kwargs = "call_function", torch.relu_, (source,), {}
    graph_module.recompile()
    return graph_module
