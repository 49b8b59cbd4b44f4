"""A network as a torch.fx graph whose every operation has a name a person can type.

A graph, not module hooks: hooks never see functional operations (the ReLUs of GoogLeNet, Inception and DenseNet),
and a graph can be cut at the deepest layer asked for.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from enum import Enum, auto

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from cnnviz.errors import ModelError
from cnnviz.network import averaging, custom_gradients, frozen

LAYER = "cnnviz_layer"
"""Key in ``node.meta``: the layer name of a graph node."""


class _PathTracer(fx.Tracer):
    """Traces a module and names each node by where it stands: ``features.3.squeeze``, ``layer1.0.add``.

    A module or function used again in the same place gets ``_1``, ``_2`` … after its name.
    """

    def __init__(self) -> None:
        super().__init__()
        self._uses: dict[str, int] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        ours = (frozen.Conv2d, averaging.AdaptiveAvgPool2d, nn.MaxPool2d)
        return isinstance(m, ours) or super().is_leaf_module(m, module_qualified_name)

    def create_node(self, kind: str, target: object, *args: object, **kwargs: object) -> fx.Node:
        node = super().create_node(kind, target, *args, **kwargs)  # type: ignore[arg-type]
        if kind in ("call_module", "call_function", "call_method"):
            node.meta[LAYER] = self._unique(self._path(node))
        return node

    def _path(self, node: fx.Node) -> str:
        if node.op == "call_module":
            return str(node.target)
        operation = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "op")
        # Python spells in-place and reflected forms with underscores; the layer is the operation itself.
        operation = str(operation).strip("_")
        scope = self.scope.module_path
        return f"{scope}.{operation}" if scope else operation

    def _unique(self, path: str) -> str:
        use = self._uses.get(path, 0)
        self._uses[path] = use + 1
        return f"{path}_{use}" if use else path


def trace(module: nn.Module) -> fx.GraphModule:
    """The graph of ``module`` in evaluation mode, without in-place operations.

    In-place activations would overwrite the output of the layer before them, which ``features`` may have been
    asked for. Raises ModelError where the forward pass branches on the data and so has no fixed graph.
    """
    tracer = _PathTracer()
    try:
        with custom_gradients.kept_whole():
            graph = tracer.trace(module)
    except (fx.proxy.TraceError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"The layers of {type(module).__name__} cannot be listed: {error}") from error
    for node in graph.nodes:
        if node.kwargs.get("inplace"):
            node.kwargs = {**node.kwargs, "inplace": False}
    return fx.GraphModule(tracer.root, graph)


def remove_inplace(module: nn.Module) -> None:
    """Make every activation module of ``module`` write to a new tensor."""
    for child in module.modules():
        if getattr(child, "inplace", False) is True:
            child.inplace = False  # type: ignore[assignment]


def layer_nodes(graph_module: fx.GraphModule) -> dict[str, fx.Node]:
    """Layer name -> node, in order of computation, of the nodes that can hold a tensor made of the picture."""
    made = depends_on_input(graph_module.graph)
    nodes = [node for node in graph_module.graph.nodes if LAYER in node.meta and node in made]
    return {node.meta[LAYER]: node for node in nodes if not _asks_for_shape(node)}


def _asks_for_shape(node: fx.Node) -> bool:
    if node.op == "call_function" and node.target is getattr:
        return node.args[1] in {"shape", "ndim", "dtype", "device"}
    return node.op == "call_method" and node.target in {"size", "dim", "numel"}


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


def quickened(graph_module: fx.GraphModule) -> fx.GraphModule:
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


class _Way(Enum):
    """How a quick graph has a node of the plain one."""

    WAITING = auto()
    """A ReLU that is left to the pooling behind it."""

    RECTIFYING = auto()
    """A max pooling with the ReLU before it."""

    OVERWRITING = auto()
    """A ReLU in place."""


def _rectifying(root: nn.Module, needed: Collection[fx.Node], kept: Container[fx.Node]) -> dict[fx.Node, _Way]:
    """The ways of ReLUs among the nodes ``needed``, and of poolings behind them; what is ``kept`` stays as it is."""
    ways = {}
    for node in needed:
        if not is_rectifier(root, node):
            continue
        users = [user for user in node.users if user in needed]
        if node not in kept and len(users) == 1 and is_max_pool(root, users[0]):
            ways[node], ways[users[0]] = _Way.WAITING, _Way.RECTIFYING
        elif _may_overwrite(root, node, needed, kept):
            ways[node] = _Way.OVERWRITING
    return ways


def _may_overwrite(root: nn.Module, node: fx.Node, needed: Container[fx.Node], kept: Container[fx.Node]) -> bool:
    """Whether only the ReLU ``node`` reads its input, and that is one whose gradient does without its output."""
    (source,) = node.all_input_nodes
    alone = source not in kept and all(user is node for user in source.users if user in needed)
    return alone and (isinstance(_module_of(root, source), _FORGETFUL) or (source.op, source.target) in _SUMS)


def _copy(graph: fx.Graph, node: fx.Node, copies: Mapping[fx.Node, fx.Node], ways: Mapping[fx.Node, _Way]) -> fx.Node:
    """``node`` in another graph, in the way it is to go."""
    way = ways.get(node)
    if way is _Way.WAITING:
        return copies[node.all_input_nodes[0]]
    if way is _Way.OVERWRITING:
        return graph.call_function(F.relu, (copies[node.all_input_nodes[0]],), {"inplace": True})
    copied = graph.node_copy(node, copies.__getitem__)
    return graph.call_function(F.relu, (copied,), {"inplace": True}) if way is _Way.RECTIFYING else copied


def is_rectifier(root: nn.Module, node: fx.Node) -> bool:
    """Whether a node of the graph of ``root`` is a ReLU, as a module or a function."""
    return type(_module_of(root, node)) is nn.ReLU or (node.op, node.target) in _RECTIFIERS


def is_max_pool(root: nn.Module, node: fx.Node) -> bool:
    """Whether a node of the graph of ``root`` is a max pooling, as a module or a function."""
    return isinstance(_module_of(root, node), nn.MaxPool2d) or (node.op, node.target) in _MAX_POOLS


_RECTIFIERS = {("call_function", F.relu), ("call_function", torch.relu), ("call_method", "relu")}
_MAX_POOLS = {("call_function", F.max_pool2d), ("call_function", torch.max_pool2d)}
_FORGETFUL = (nn.Conv2d, nn.BatchNorm2d)
_SUMS = {("call_function", operator.add), ("call_function", torch.add)}


Tell = Callable[[str, Tensor], object]
"""A node's key and its value."""


def reporting(
    graph_module: fx.GraphModule, nodes: Mapping[str, fx.Node], turns: Mapping[fx.Node, Sequence[int]] | None = None
) -> fx.GraphModule:
    """A graph of the input and of ``tell``, a ``Tell``, that computes what ``nodes`` need and returns nothing.

    ``tell`` is called with each node's value as soon as there is one, its axes in the order ``turns`` has for it. What
    nothing deeper needs is freed then, and ReLUs write as in ``quickened``.
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
                tell = graph.placeholder("tell")
            for key in keys.get(node, []):
                turned = graph.call_method("permute", (copies[node], *turns[node])) if turns and node in turns else None
                graph.call_function(_call, (tell, key, turned or copies[node]))
    graph.output(None)
    return fx.GraphModule(graph_module, graph)


def _module_of(root: nn.Module, node: fx.Node) -> nn.Module | None:
    return root.get_submodule(str(node.target)) if node.op == "call_module" else None


def _call(tell: Tell, key: str, value: Tensor) -> None:
    tell(key, value)


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
