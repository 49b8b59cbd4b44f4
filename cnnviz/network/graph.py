"""Traces a module to a torch.fx graph in which every operation has a readable name.

A graph instead of module hooks: hooks miss functional operations (the ReLUs of GoogLeNet, Inception and DenseNet), and
a graph can be cut at the deepest layer needed.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from typing import Any

from torch import fx, nn

from cnnviz.errors import ModelError, UsageError
from cnnviz.network import custom_gradients
from cnnviz.network.fast import conv, pooling
from cnnviz.network.functionalize import Proxy, asks_for_shape, functionalize, operation_name
from cnnviz.network.module_copy import has_hooks, remove_hooks, unwrap

LAYER = "cnnviz_layer"
"""Key in ``node.meta``: the layer name of a graph node."""


class _PathTracer(fx.Tracer):
    """Traces a module and names each node by its place in the module tree: ``features.3.squeeze``, ``layer1.0.add``.

    A module or function used again in the same place gets ``_1``, ``_2`` … after its name.
    """

    def __init__(self, are_buffers_read: bool, choose: Callable[[Any], Any]) -> None:
        super().__init__()
        self._choose = choose
        self._uses: dict[str, int] = {}
        self._thread = threading.get_ident()
        self.proxy_buffer_attributes = are_buffers_read

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        ours = (conv.Conv2d, pooling.AdaptiveAvgPool2d, nn.MaxPool2d)
        if isinstance(m, ours) or super().is_leaf_module(m, module_qualified_name):
            return True
        return has_hooks(m) and not any(True for _ in m.children())

    def create_args_for_root(self, root_fn: object, is_module: bool, concrete_args: object = None) -> Any:
        """The module's chosen output with its input as the only argument; others keep their defaults."""

        def forward(root: nn.Module, x: Proxy) -> Any:
            return self._choose(root.forward(x))

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
        """Trace the module inside a DataParallel, which would ask for the device of a traced value."""
        if threading.get_ident() != self._thread:  # while tracing, torch.fx intercepts the calls of all threads
            return rest[0](*rest[1], **rest[2])
        inner = unwrap(m)
        return super().call_module(m, *rest, **more) if inner is m else inner(*rest[1], **rest[2])

    def getattr(self, attr: str, attr_val: Any, *rest: Any) -> Any:
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, *rest)


_tracing = threading.RLock()
"""Held while torch.fx replaces PyTorch's functions by its own."""


def _all_of_it(output: Any) -> Any:
    return output


def trace(module: nn.Module, choose: Callable[[Any], Any] = _all_of_it) -> fx.GraphModule:
    """The graph of ``module``, in its current mode, without in-place operations; it shares the parameters.

    ``choose`` is applied to what the module returns, as a part of the graph.

    In-place operations would overwrite the output of the layer before, which may be one that is read. So activation
    modules of ``module`` are set to work out of place. Hooks on modules with children are removed.

    Raises ModelError where the forward pass has no fixed graph, as one that branches on the data.
    """
    if any("quantized" in (path := type(child).__module__) and "dynamic" not in path for child in module.modules()):
        raise ModelError("The layers of a quantized module hold integers; give the float module that it was made from.")
    try:
        tracer, graph = _traced(module, choose, are_buffers_read=True)
    except Exception:  # user code may raise anything on traced values
        try:
            tracer, graph = _traced(module, choose, are_buffers_read=False)
        except UsageError:  # of an output that is not there
            raise
        except Exception as error:
            raise ModelError(f"The layers of {type(module).__name__} cannot be listed: {error}") from error
    functionalize(graph, tracer.root)
    return fx.GraphModule(tracer.root, graph)


def _traced(module: nn.Module, choose: Callable[[Any], Any], *, are_buffers_read: bool) -> tuple[fx.Tracer, fx.Graph]:
    tracer = _PathTracer(are_buffers_read, choose)
    for name, child in module.named_modules():
        if has_hooks(child) and any(True for _ in child.children()) and not tracer.is_leaf_module(child, name):
            remove_hooks(child)
    tables = [table for child in module.modules() for table in (child._parameters, child._buffers)]
    before = [dict(table) for table in tables]
    try:
        with _tracing, custom_gradients.as_single_nodes():
            return tracer, tracer.trace(module)
    finally:
        for table, tensors in zip(tables, before, strict=True):
            table.update(tensors)  # type: ignore[arg-type]  # the forward pass may have stored traced values


def layer_nodes(graph_module: fx.GraphModule) -> dict[str, fx.Node]:
    """Layer name -> node, in order of computation, for nodes that hold a tensor that depends on the input."""
    made = depends_on_input(graph_module.graph)
    nodes = [node for node in graph_module.graph.nodes if LAYER in node.meta and node in made]
    return {node.meta[LAYER]: node for node in nodes if not asks_for_shape(node)}


def depends_on_input(graph: fx.Graph) -> set[fx.Node]:
    """The nodes that depend on the input, not on weights and constants alone."""
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


def ancestors(nodes: Iterable[fx.Node]) -> set[fx.Node]:
    """The nodes and all nodes that they are computed from."""
    found: set[fx.Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += node.all_input_nodes
    return found


def natural_order(names: Iterable[str]) -> list[str]:
    """Names sorted with numbers in numeric order: ``features.9`` before ``features.10``."""
    return sorted(names, key=lambda name: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)])
