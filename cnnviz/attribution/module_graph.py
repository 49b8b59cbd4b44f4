"""A network's graph with modules of our own for the operations that have a rule.

Hooks on modules miss ReLUs that are functions, and take a module that is called twice for one. Here each operation of
the graph may become a new module; the network's own modules are read, never hooked or changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, fx, nn

from cnnviz.attribution.nonlinearities import depends_on_input
from cnnviz.network.graph import LAYER, ancestors
from cnnviz.network.operations import argument, operation

Values = Mapping[fx.Node, Any]


class Recording(fx.Interpreter):
    """The values of a graph for one input, and which nodes depend on it.

    Args:
        graph_module: a network's graph.
        x: its input (1, C, H, W).
    """

    def __init__(self, graph_module: fx.GraphModule, x: Tensor) -> None:
        super().__init__(graph_module, garbage_collect_values=False)
        self.needed = ancestors([graph_module.graph.output_node()])
        self.dependent: set[fx.Node] = set()
        self.run(x)

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n.op == "placeholder" or depends_on_input(self.module, n, value, self.dependent):
            self.dependent.add(n)
        return value

    def operation_of(self, node: fx.Node) -> str | None:
        """The name of a node's operation."""
        return operation(self.module, node)

    def sources(self, node: fx.Node) -> tuple[fx.Node, ...]:
        """The nodes that a node takes values from, those that depend on the input."""
        return tuple(source for source in node.all_input_nodes if source in self.dependent)

    def function(self, node: fx.Node, source: fx.Node) -> Callable[[Tensor], Tensor]:
        """The operation of a node as a function of the value of ``source``; what else it takes is as it was."""

        def run(value: Tensor) -> Tensor:
            arguments, options = fx.node.map_arg(
                (node.args, node.kwargs), lambda each: value if each is source else self.env[each]
            )
            found: Tensor = getattr(self, node.op)(node.target, arguments, options)
            return found

        return run

    def layer(self, node: fx.Node) -> str:
        """What a message calls a node."""
        return str(node.meta.get(LAYER, node.name))


Replacement = tuple[Callable[..., Any], tuple[fx.Node, ...]]
"""A module or function, and the nodes whose values it takes."""


def with_modules(recording: Recording, replace: Callable[[fx.Node], Replacement | None]) -> fx.GraphModule:
    """The graph with a module of its own for each node that ``replace`` gives one; the others stay as they are."""
    root: Any = recording.module
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    modules: dict[str, Any] = {}
    for node in root.graph.nodes:
        if node not in recording.needed:
            continue
        found = replace(node) if node in recording.dependent else None
        if found is None:
            copies[node] = graph.node_copy(node, copies.__getitem__)
            if node.op in {"call_module", "get_attr"}:
                modules[str(node.target)] = _attribute(root, str(node.target))
            continue
        run, sources = found
        values, name = tuple(copies[source] for source in sources), f"own_{len(copies)}"
        if isinstance(run, nn.Module):
            modules[name] = run
        copies[node] = graph.call_module(name, values) if name in modules else graph.call_function(run, values)
    graph.lint()
    return fx.GraphModule(modules, graph)


def _attribute(root: nn.Module, path: str) -> Any:
    found: Any = root
    for part in path.split("."):
        found = getattr(found, part)
    return found


def max_pool(recording: Recording, node: fx.Node) -> tuple[nn.MaxPool2d, tuple[fx.Node, ...]] | None:
    """The max pooling that a node is, as a module of PyTorch's own class; None for any other operation."""
    name = recording.operation_of(node)
    if name == "MaxPool2d":
        module: Any = recording.module.get_submodule(str(node.target))
        kernel, stride, padding, dilation = module.kernel_size, module.stride, module.padding, module.dilation
        source, ceil = node.all_input_nodes[0], module.ceil_mode
    elif name in {"max_pool2d", "max_pool2d_with_indices"}:
        source = argument(node, 0, "input", None)
        kernel = argument(node, 1, "kernel_size", None)
        stride = argument(node, 2, "stride", None) or kernel
        padding, dilation = argument(node, 3, "padding", 0), argument(node, 4, "dilation", 1)
        ceil = argument(node, 5, "ceil_mode", False)
    else:
        return None
    return nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=bool(ceil)), (source,)
