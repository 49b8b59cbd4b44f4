"""Graphs made from a traced graph: cut at some layers, streaming their outputs, or with ReLUs that write in place."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Container, Mapping
from enum import Enum, auto

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from cnnviz.network.graph import ancestors
from cnnviz.network.hooked import record_only_what_is_read
from cnnviz.network.map_views import Views
from cnnviz.network.module_copy import has_hooks
from cnnviz.network.operations import is_max_pool, is_relu, module_of

FeatureCallback = Callable[[str, Tensor], object]
"""Called with a layer's name and its output."""

_NO_OUTPUT_GRAD = (nn.Conv2d, nn.BatchNorm2d)
"""Modules whose gradient does not need their output, which is a new tensor."""

_SUMS = {("call_function", operator.add), ("call_function", torch.add)}


def truncate(
    graph_module: fx.GraphModule,
    nodes: Mapping[str, fx.Node],
    views: Views | None = None,
    leaves: Collection[fx.Node] = (),
) -> fx.GraphModule:
    """A graph that computes only what ``nodes`` need, and returns ``{key: value of the node}``.

    Nodes in ``views`` are returned as those show them; deeper nodes are computed from what is returned, so that their
    gradient with respect to it exists. Of ``leaves`` it exists also where the input requires none: autograd then
    begins there.
    """
    needed = ancestors(nodes.values())
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    viewed: dict[fx.Node, fx.Node] = {}
    for node in graph_module.graph.nodes:
        if node in needed:
            copies[node] = graph.node_copy(node, copies.__getitem__)
            if node in nodes.values() and views and node in views:
                viewed[node] = views[node].of(graph, copies[node], copies)
                viewed[node] = graph.call_function(_leaf, (viewed[node],)) if node in leaves else viewed[node]
                copies[node] = views[node].back(graph, viewed[node], copies[node])
            elif node in leaves:
                copies[node] = graph.call_function(_leaf, (copies[node],))
    graph.output({key: viewed.get(node, copies[node]) for key, node in nodes.items()})
    record_only_what_is_read(graph)
    return fx.GraphModule(graph_module, graph)


def _leaf(value: Tensor) -> Tensor:
    """``value`` with a gradient: as it is where it has one already."""
    return value if value.requires_grad else value.detach().requires_grad_()


def edit_node(graph_module: fx.GraphModule, node: fx.Node, views: Views) -> fx.GraphModule:
    """A graph of the input and a function that computes the output as if that function's value were the node's.

    The function gets what ``node`` computes, as ``views`` show it.
    """
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for each in graph_module.graph.nodes:
        copies[each] = graph.node_copy(each, copies.__getitem__)
        if each.op == "placeholder":
            edit = graph.placeholder("edit")
        if each is node:
            value = copies[each]
            seen = views[each].of(graph, value, copies) if each in views else value
            changed = graph.call_function(_call_with, (edit, seen))
            copies[each] = views[each].back(graph, changed, value) if each in views else changed
    return fx.GraphModule(graph_module, graph)


def _call_with(edit: Callable[[Tensor], Tensor], value: Tensor) -> Tensor:
    return edit(value)


def resume_from(graph_module: fx.GraphModule, node: fx.Node, views: Views) -> fx.GraphModule | None:
    """A graph from the value of ``node``, as ``views`` show it, to the output.

    None where more of the input than that value is needed: where something goes around the node, or tokens are read
    that are no position of its map.
    """
    view = views.get(node)
    rest = ancestors([graph_module.graph.output_node()])
    from_input = _descendants(graph_module, [each for each in rest if each.op == "placeholder"])
    after = _descendants(graph_module, [node]) & rest
    sources = {source for each in after for source in each.all_input_nodes} - after - {node}
    if sources & from_input or (view is not None and view.grid is not None):
        return None
    graph = fx.Graph()
    copies = {node: graph.placeholder("maps")}
    if view is not None:
        copies[node] = view.back(graph, copies[node], copies[node])
    for each in graph_module.graph.nodes:
        if each in after or (each in rest and each not in from_input and each is not node):
            copies[each] = graph.node_copy(each, copies.__getitem__)
    return fx.GraphModule(graph_module, graph)


def _descendants(graph_module: fx.GraphModule, nodes: Collection[fx.Node]) -> set[fx.Node]:
    """The nodes that are computed from ``nodes``; placeholders count as computed from themselves."""
    found = {node for node in nodes if node.op == "placeholder"}
    for each in graph_module.graph.nodes:
        if any(source in found or source in nodes for source in each.all_input_nodes):
            found.add(each)
    return found


def fuse_inplace_relu(graph_module: fx.GraphModule) -> fx.GraphModule:
    """A graph with the same values and gradients, to the last bit, that writes less memory.

    A ReLU overwrites its input where nothing else reads that and no gradient needs it. A ReLU that only a max pooling
    reads runs after it: both orders give the same, and the pooled map is a quarter of the size.
    """
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    rewrites = _find_rewrites(graph_module, set(graph_module.graph.nodes), ())
    for node in graph_module.graph.nodes:
        copies[node] = _copy(graph, node, copies, rewrites)
    return fx.GraphModule(graph_module, graph)


def stream_to_callback(
    graph_module: fx.GraphModule, nodes: Mapping[str, fx.Node], views: Views | None = None
) -> fx.GraphModule:
    """A graph of the input and a ``FeatureCallback`` that computes what ``nodes`` need and returns nothing.

    The callback gets each node's value as soon as it is computed, as ``views`` show it. A value that nothing deeper
    needs is freed then, and ReLUs write as in ``fuse_inplace_relu``.
    """
    needed = ancestors(nodes.values())
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    keys: dict[fx.Node, list[str]] = {}
    for key, node in nodes.items():
        keys.setdefault(node, []).append(key)
    rewrites = _find_rewrites(graph_module, needed, keys)
    for node in graph_module.graph.nodes:
        if node in needed:
            copies[node] = value = _copy(graph, node, copies, rewrites)
            if node.op == "placeholder":
                callback = graph.placeholder("callback")
            for key in keys.get(node, []):
                if views and node in views:
                    value = views[node].of(graph, copies[node], copies)
                graph.call_function(_call, (callback, key, value))
    graph.output(None)
    record_only_what_is_read(graph)
    return fx.GraphModule(graph_module, graph)


def _call(callback: FeatureCallback, key: str, value: Tensor) -> None:
    callback(key, value)


def relu_in_place(graph_module: fx.GraphModule, producers: tuple[type[nn.Module], ...]) -> fx.GraphModule:
    """The given graph, changed: ReLUs overwrite the output of ``producers`` and of sums that nothing else reads.

    ``producers`` return a new tensor, never a view of their input, and their gradients, if any, do not need it.
    """
    nodes = set(graph_module.graph.nodes)
    for node in graph_module.graph.nodes:
        if is_relu(graph_module, node) and _may_overwrite(graph_module, node, nodes, (), producers):
            node.op, node.target, node.kwargs = "call_function", torch.relu_, {}
            node.args = tuple(node.all_input_nodes)
    graph_module.recompile()
    return graph_module


class _Rewrite(Enum):
    """What becomes of a node in a graph with ReLUs in place."""

    RELU_AFTER_POOLING = auto()
    """A ReLU that is left out, and applied after the pooling that reads it."""

    POOLING_THEN_RELU = auto()
    """The max pooling after such a ReLU."""

    IN_PLACE = auto()
    """A ReLU that overwrites its input."""


def _find_rewrites(root: nn.Module, needed: Collection[fx.Node], kept: Container[fx.Node]) -> dict[fx.Node, _Rewrite]:
    """The rewrites of ReLUs among the nodes ``needed``, and of poolings after them; ``kept`` nodes stay as they are."""
    rewrites = {}
    for node in needed:
        if not is_relu(root, node):
            continue
        users = [user for user in node.users if user in needed]
        if node not in kept and len(users) == 1 and is_max_pool(root, users[0]):
            rewrites[node], rewrites[users[0]] = _Rewrite.RELU_AFTER_POOLING, _Rewrite.POOLING_THEN_RELU
        elif _may_overwrite(root, node, needed, kept, _NO_OUTPUT_GRAD):
            rewrites[node] = _Rewrite.IN_PLACE
    return rewrites


def _may_overwrite(
    root: nn.Module,
    relu: fx.Node,
    needed: Container[fx.Node],
    kept: Container[fx.Node],
    producers: tuple[type[nn.Module], ...],
) -> bool:
    """Whether only the node ``relu`` reads its input, and a sum or one of the ``producers`` computed that."""
    (source,) = relu.all_input_nodes
    if source in kept or any(user is not relu for user in source.users if user in needed):
        return False
    module = module_of(root, source)
    if module is not None and has_hooks(module):
        return False  # a hook may keep the output
    return isinstance(module, producers) or (source.op, source.target) in _SUMS


def _copy(
    graph: fx.Graph, node: fx.Node, copies: Mapping[fx.Node, fx.Node], rewrites: Mapping[fx.Node, _Rewrite]
) -> fx.Node:
    """A copy of ``node`` in another graph, rewritten."""
    rewrite = rewrites.get(node)
    if rewrite is _Rewrite.RELU_AFTER_POOLING:
        return copies[node.all_input_nodes[0]]
    if rewrite is _Rewrite.IN_PLACE:
        return graph.call_function(F.relu, (copies[node.all_input_nodes[0]],), {"inplace": True})
    copied = graph.node_copy(node, copies.__getitem__)
    if rewrite is _Rewrite.POOLING_THEN_RELU:
        return graph.call_function(F.relu, (copied,), {"inplace": True})
    return copied
