"""The output shapes of a graph's nodes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call

from cnnviz.network.hooked import hooked_module, read_output, run_node


class _ShapeInterpreter(fx.Interpreter):
    """Runs a graph and keeps every node's output shape (for nodes that give no tensor: their value)."""

    def __init__(self, graph_module: fx.GraphModule) -> None:
        super().__init__(graph_module)
        self.shapes: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        # The result of x.size() is a value, not an output shape.
        plain = tuple(value) if isinstance(value, torch.Size) else value
        self.shapes[n] = value.shape if isinstance(value, Tensor) else plain
        return value


class MetaInterpreter(_ShapeInterpreter):
    """Runs a graph on meta tensors, which have shapes and no values, on whatever device its parameters are."""

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        module = self.fetch_attr(target)
        state = {
            name: tensor.to("meta")
            for held in (module.named_parameters(), module.named_buffers())
            for name, tensor in held
        }
        if isinstance(module, nn.Conv2d) and args and isinstance(args[0], Tensor):  # autocast does not see meta tensors
            state = {name: tensor.to(args[0].dtype) for name, tensor in state.items()}
        kept = dict(module.__dict__)  # a hook may set a weight (torch.nn.utils.weight_norm)
        try:
            return functional_call(module, state, args, kwargs)
        finally:
            module.__dict__.update(kept)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        return value.to("meta") if isinstance(value, Tensor) else value


def meta_input(graph_module: fx.GraphModule, shape: tuple[int, ...]) -> Tensor:
    """A meta tensor of the shape of an input."""
    dtype = next((p.dtype for p in graph_module.parameters()), torch.float32)
    return torch.empty(shape, device="meta", dtype=dtype)


def output_shapes(graph_module: fx.GraphModule, input_shape: tuple[int, ...]) -> dict[fx.Node, Any]:
    """The output shape of every node (for nodes that give no tensor: their value), computed on shapes alone."""
    interpreter = MetaInterpreter(graph_module)
    try:
        with torch.no_grad():
            interpreter.run(meta_input(graph_module, input_shape))
    except Exception:  # a module that hooks watch may branch on values, which it then needs
        if hooked_module(graph_module) is None:
            raise
        return shapes_by_forward(graph_module, _noise(graph_module, input_shape))
    return interpreter.shapes


def _noise(graph_module: fx.GraphModule, shape: tuple[int, ...]) -> Tensor:
    like = next(graph_module.parameters(), torch.empty(0))
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(like)


def partial_output_shapes(graph_module: fx.GraphModule, input_shape: tuple[int, ...]) -> dict[fx.Node, Any]:
    """As ``output_shapes``, up to the first node that fails on this shape; by a real pass if hooks make the graph."""
    hooked = hooked_module(graph_module)
    if hooked is not None:
        found = hooked.shapes(_noise(graph_module, input_shape))
        run = run_node(graph_module.graph)
        nodes = [node for node in graph_module.graph.nodes if node.target is read_output and node.args[0] is run]
        return {node: found[str(node.args[1])] for node in nodes if node.args[1] in found}
    interpreter = MetaInterpreter(graph_module)
    with torch.no_grad():
        try:
            interpreter.run(meta_input(graph_module, input_shape))
        except Exception:  # user code may raise anything
            return interpreter.shapes
    return interpreter.shapes


def shapes_by_forward(graph_module: fx.GraphModule, inputs: Tensor) -> dict[fx.Node, Any]:
    """The output shape of every node of one real pass over ``inputs``.

    For a small image this takes less time than ``output_shapes``, whose first use imports torch's compiler stack.
    """
    interpreter = _ShapeInterpreter(graph_module)
    with torch.no_grad():
        interpreter.run(inputs)
    return interpreter.shapes
