"""A network as a torch.fx graph whose every operation has a name a person can type.

A graph, not module hooks: hooks never see functional operations (the ReLUs of GoogLeNet, Inception and DenseNet),
and a graph can be cut at the deepest layer asked for.
"""

from __future__ import annotations

import operator
import re
import threading
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from cnnviz.errors import ModelError
from cnnviz.network import custom_gradients
from cnnviz.network.fast import conv, pooling
from cnnviz.network.functionalize import Proxy, asks_for_shape, make_functional, operation_name
from cnnviz.network.module_copy import has_hooks, remove_hooks, unwrap

LAYER = "cnnviz_layer"
"""Key in ``node.meta``: the layer name of a graph node."""


class _PathTracer(fx.Tracer):
    """Traces a module and names each node by where it stands: ``features.3.squeeze``, ``layer1.0.add``.

    A module or function used again in the same place gets ``_1``, ``_2`` … after its name.
    """

    def __init__(self, are_buffers_read: bool) -> None:
        super().__init__()
        self._uses: dict[str, int] = {}
        self._thread = threading.get_ident()
        self.proxy_buffer_attributes = are_buffers_read

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        ours = (conv.Conv2d, pooling.AdaptiveAvgPool2d, nn.MaxPool2d)
        if isinstance(m, ours) or super().is_leaf_module(m, module_qualified_name):
            return True
        return has_hooks(m) and not any(True for _ in m.children())

    def create_args_for_root(self, root_fn: object, is_module: bool, concrete_args: object = None) -> Any:
        """One argument, the input; the others have their defaults, as when the module is called."""

        def forward(root: nn.Module, x: Proxy) -> Any:
            return root.forward(x)

        return forward, [self.root, self.create_proxy("placeholder", "x", (), {})]

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return Proxy(node, self)

    def create_node(self, kind: str, target: object, *args: object, **kwargs: object) -> fx.Node:
        node = super().create_node(kind, target, *args, **kwargs)  # type: ignore[arg-type]
        if kind in ("call_module", "call_function", "call_method"):
            node.meta[LAYER] = self._unique(self._path(node))
        return node

    def _path(self, node: fx.Node) -> str:
        if node.op == "call_module":
            return str(node.target)
        scope = self.scope.module_path
        return f"{scope}.{operation_name(node)}" if scope else operation_name(node)

    def _unique(self, path: str) -> str:
        use = self._uses.get(path, 0)
        self._uses[path] = use + 1
        return f"{path}_{use}" if use else path

    def call_module(self, m: nn.Module, *rest: Any, **more: Any) -> Any:
        """The graph is of what a DataParallel holds: it asks where its input is, which a stand-in does not know."""
        if threading.get_ident() != self._thread:  # torch.fx catches the calls of all threads meanwhile
            return rest[0](*rest[1], **rest[2])
        inner = unwrap(m)
        return super().call_module(m, *rest, **more) if inner is m else inner(*rest[1], **rest[2])

    def getattr(self, attr: str, attr_val: Any, *rest: Any) -> Any:
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, *rest)


_tracing = threading.RLock()
"""Held while torch.fx has its own functions in the place of PyTorch's."""


def trace(module: nn.Module) -> fx.GraphModule:
    """The graph of ``module``, in the mode it is in, without in-place operations; it shares the parameters.

    In-place operations would overwrite the output of the layer before them, which ``features`` may have been asked
    for: activation modules of ``module`` are set to work out of place, and hooks on modules with children are taken
    off. Raises ModelError where the forward pass branches on the data and so has no fixed graph.
    """
    if any("quantized" in (path := type(child).__module__) and "dynamic" not in path for child in module.modules()):
        raise ModelError("The layers of a quantized module hold integers; give the float module that it was made from.")
    try:
        tracer, graph = _traced(module, are_buffers_read=True)
    except Exception:  # the module's own code meets stand-ins for tensors, and may raise anything
        try:
            tracer, graph = _traced(module, are_buffers_read=False)
        except Exception as error:
            raise ModelError(f"The layers of {type(module).__name__} cannot be listed: {error}") from error
    make_functional(graph, tracer.root)
    return fx.GraphModule(tracer.root, graph)


def _traced(module: nn.Module, are_buffers_read: bool) -> tuple[fx.Tracer, fx.Graph]:
    tracer = _PathTracer(are_buffers_read)
    for name, child in module.named_modules():
        if has_hooks(child) and any(True for _ in child.children()) and not tracer.is_leaf_module(child, name):
            remove_hooks(child)
    tables = [table for child in module.modules() for table in (child._parameters, child._buffers)]
    before = [dict(table) for table in tables]
    try:
        with _tracing, custom_gradients.kept_whole():
            return tracer, tracer.trace(module)
    finally:
        for table, tensors in zip(tables, before, strict=True):
            table.update(tensors)  # type: ignore[arg-type]  # a forward pass may have set stand-ins in their place


def remove_inplace(module: nn.Module) -> None:
    """Make every activation module of ``module`` write to a new tensor."""
    for child in module.modules():
        if getattr(child, "inplace", False) is True:
            child.inplace = False  # type: ignore[assignment]


def layer_nodes(graph_module: fx.GraphModule) -> dict[str, fx.Node]:
    """Layer name -> node, in order of computation, of the nodes that can hold a tensor made of the picture."""
    made = depends_on_input(graph_module.graph)
    nodes = [node for node in graph_module.graph.nodes if LAYER in node.meta and node in made]
    return {node.meta[LAYER]: node for node in nodes if not asks_for_shape(node)}


def depends_on_input(graph: fx.Graph) -> set[fx.Node]:
    """The nodes that the input has a part in; the others are made of weights and constants alone."""
    found: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder" or any(source in found for source in node.all_input_nodes):
            found.add(node)
    return found


def block_nodes(layers: dict[str, fx.Node]) -> dict[str, fx.Node]:
    """Every enclosing module path (``layer3``, ``layer3.5``) -> the last node computed inside it."""
    blocks: dict[str, fx.Node] = {}
    for name, node in layers.items():
        parts = name.split(".")
        for depth in range(1, len(parts)):
            blocks[".".join(parts[:depth])] = node
    return blocks


def truncate(
    graph_module: fx.GraphModule, nodes: dict[str, fx.Node], turns: Mapping[fx.Node, Sequence[int]] | None = None
) -> fx.GraphModule:
    """A graph that computes only what ``nodes`` need, and returns ``{key: value of the node}``.

    ``turns`` has the order of axes in which the values of some are returned. What is deeper is computed of that
    value, so that it has a gradient with respect to it.
    """
    needed = ancestors(nodes.values())
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    turned: dict[fx.Node, fx.Node] = {}
    for node in graph_module.graph.nodes:
        if node in needed:
            copies[node] = graph.node_copy(node, copies.__getitem__)
            if node in nodes.values() and turns and node in turns:
                turned[node] = graph.call_method("permute", (copies[node], *turns[node]))
                back = [list(turns[node]).index(axis) for axis in range(len(turns[node]))]
                copies[node] = graph.call_method("permute", (turned[node], *back))
    graph.output({key: turned.get(node, copies[node]) for key, node in nodes.items()})
    return fx.GraphModule(graph_module, graph)


def fuse_inplace_relu(graph_module: fx.GraphModule) -> fx.GraphModule:
    """The same graph with less to write: its values and gradients are the same to the last bit.

    A ReLU overwrites what it reads where nothing else does, for no gradient needs that; and one that a max pooling
    alone reads comes after it: the largest value rectified is the largest of the rectified, and there are a quarter as
    many to rectify, in VGGs and at the mouth of nearly every other network.
    """
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    ways = _rectifying(graph_module, set(graph_module.graph.nodes), ())
    for node in graph_module.graph.nodes:
        copies[node] = _copy(graph, node, copies, ways)
    return fx.GraphModule(graph_module, graph)


class _Rewrite(Enum):
    """How a quick graph has a node of the plain one."""

    WAITING = auto()
    """A ReLU that is left to the pooling behind it."""

    RECTIFYING = auto()
    """A max pooling with the ReLU before it."""

    OVERWRITING = auto()
    """A ReLU in place."""


def _rectifying(root: nn.Module, needed: Collection[fx.Node], kept: Container[fx.Node]) -> dict[fx.Node, _Rewrite]:
    """The ways of ReLUs among the nodes ``needed``, and of poolings behind them; what is ``kept`` stays as it is."""
    ways = {}
    for node in needed:
        if not is_relu(root, node):
            continue
        users = [user for user in node.users if user in needed]
        if node not in kept and len(users) == 1 and is_max_pool(root, users[0]):
            ways[node], ways[users[0]] = _Rewrite.WAITING, _Rewrite.RECTIFYING
        elif _may_overwrite(root, node, needed, kept):
            ways[node] = _Rewrite.OVERWRITING
    return ways


def _may_overwrite(root: nn.Module, node: fx.Node, needed: Container[fx.Node], kept: Container[fx.Node]) -> bool:
    """Whether only the ReLU ``node`` reads its input, and that is one whose gradient does without its output."""
    (source,) = node.all_input_nodes
    alone = source not in kept and all(user is node for user in source.users if user in needed)
    module = _module_of(root, source)
    if module is not None and has_hooks(module):
        return False  # a hook may keep what would be overwritten
    return alone and (isinstance(module, _NO_OUTPUT_GRAD) or (source.op, source.target) in _SUMS)


def _copy(
    graph: fx.Graph, node: fx.Node, copies: Mapping[fx.Node, fx.Node], ways: Mapping[fx.Node, _Rewrite]
) -> fx.Node:
    """``node`` in another graph, in the way it is to go."""
    way = ways.get(node)
    if way is _Rewrite.WAITING:
        return copies[node.all_input_nodes[0]]
    if way is _Rewrite.OVERWRITING:
        return graph.call_function(F.relu, (copies[node.all_input_nodes[0]],), {"inplace": True})
    copied = graph.node_copy(node, copies.__getitem__)
    return graph.call_function(F.relu, (copied,), {"inplace": True}) if way is _Rewrite.RECTIFYING else copied


def is_plain_conv(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a module is ``nn.Conv2d`` itself, or cnnviz's faster one, not a subclass that may do more."""
    return type(module) in (nn.Conv2d, conv.Conv2d)


def is_relu(root: nn.Module, node: fx.Node) -> bool:
    """Whether a node of the graph of ``root`` is a ReLU, as a module or a function."""
    module = _module_of(root, node)
    return (type(module) is nn.ReLU and not has_hooks(module)) or (node.op, node.target) in _RECTIFIERS


def is_max_pool(root: nn.Module, node: fx.Node) -> bool:
    """Whether a node of the graph of ``root`` is a max pooling, as a module or a function, that gives maps alone."""
    module = _module_of(root, node)
    if isinstance(module, nn.MaxPool2d):
        return not module.return_indices and not has_hooks(module)
    return (node.op, node.target) in _MAX_POOLS and not _gives_indices(node)


def _gives_indices(node: fx.Node) -> bool:
    """Whether a functional max pooling gives positions too, by keyword or as its seventh argument."""
    return bool(node.kwargs.get("return_indices")) or (len(node.args) > 6 and node.args[6] is True)


_RECTIFIERS = {("call_function", F.relu), ("call_function", torch.relu), ("call_method", "relu")}
_MAX_POOLS = {("call_function", F.max_pool2d), ("call_function", torch.max_pool2d)}
_NO_OUTPUT_GRAD = (nn.Conv2d, nn.BatchNorm2d)
_SUMS = {("call_function", operator.add), ("call_function", torch.add)}


FeatureCallback = Callable[[str, Tensor], object]
"""Called with a layer's name and its output."""


def with_callback(
    graph_module: fx.GraphModule, nodes: Mapping[str, fx.Node], turns: Mapping[fx.Node, Sequence[int]] | None = None
) -> fx.GraphModule:
    """A graph of the input and a ``FeatureCallback`` that computes what ``nodes`` need and returns nothing.

    The callback gets each node's value as soon as it is computed, its axes in the order that ``turns`` has for it. A
    value that nothing deeper needs is freed then, and ReLUs write as in ``fuse_inplace_relu``.
    """
    needed = ancestors(nodes.values())
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    keys: dict[fx.Node, list[str]] = {}
    for key, node in nodes.items():
        keys.setdefault(node, []).append(key)
    ways = _rectifying(graph_module, needed, keys)
    for node in graph_module.graph.nodes:
        if node in needed:
            copies[node] = _copy(graph, node, copies, ways)
            if node.op == "placeholder":
                callback = graph.placeholder("callback")
            for key in keys.get(node, []):
                turned = graph.call_method("permute", (copies[node], *turns[node])) if turns and node in turns else None
                graph.call_function(_call, (callback, key, turned or copies[node]))
    graph.output(None)
    return fx.GraphModule(graph_module, graph)


def _module_of(root: nn.Module, node: fx.Node) -> nn.Module | None:
    return root.get_submodule(str(node.target)) if node.op == "call_module" else None


def _call(callback: FeatureCallback, key: str, value: Tensor) -> None:
    callback(key, value)


def ancestors(nodes: Iterable[fx.Node]) -> set[fx.Node]:
    """The nodes themselves and all that they are computed from."""
    found: set[fx.Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += node.all_input_nodes
    return found


def natural_order(names: Iterable[str]) -> list[str]:
    """Names sorted as people count: ``features.9`` before ``features.10``."""
    return sorted(names, key=lambda name: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)])
