"""Tells transformers, for which techniques made for convolutions and ReLUs are not defined."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import fx

from cnnviz.network.operations import module_of, name_set, operation

_ATTENTION = name_set("MultiheadAttention scaled_dot_product_attention shifted_window_attention")
_CONVOLUTIONS = name_set("Conv2d conv2d")
_MOST_OF_STEM = 4
"""The most convolutions that a transformer cuts its patches with."""


def is_transformer(graph_module: fx.GraphModule) -> bool:
    """Whether a network compares patches by attention, without convolutions except for those that make the patches."""
    if sum(1 for _ in _overlapping_convolutions(graph_module)) > _MOST_OF_STEM:
        return False
    by_name = any("Attention" in type(module).__name__ for module in graph_module.modules())
    return by_name or any(_attends(graph_module, node) for node in graph_module.graph.nodes)


def _attends(graph_module: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node is an attention, or the product of its scores, after a softmax, with the values."""
    name = operation(graph_module, node)
    if name in _ATTENTION:
        return True
    return name in {"matmul", "bmm"} and any("oftmax" in str(name) for name in _behind(graph_module, node))


def _behind(graph_module: fx.GraphModule, node: fx.Node) -> Iterator[str | None]:
    """The operations of a product's first argument, and what that is made of where it is dropped out."""
    source = node.all_input_nodes[0] if node.all_input_nodes else None
    for _ in range(4):
        if source is None or not source.all_input_nodes:
            return
        yield operation(graph_module, source)
        source = source.all_input_nodes[0]


def _overlapping_convolutions(graph_module: fx.GraphModule) -> Iterator[fx.Node]:
    """The convolutions whose windows overlap, unlike those that cut an image in patches."""
    for node in graph_module.graph.nodes:
        if operation(graph_module, node) not in _CONVOLUTIONS:
            continue
        module = module_of(graph_module, node)
        kernel, stride = getattr(module, "kernel_size", (2, 2)), getattr(module, "stride", (1, 1))
        if math.prod(kernel) > math.prod(stride):
            yield node
