"""The table of a network's layers: name, aliases, output shape, cost, and receptive field."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Size, Tensor, fx, nn
from torch.func import functional_call

from cnnviz.errors import UsageError
from cnnviz.network import geometry
from cnnviz.network.geometry import ReceptiveField
from cnnviz.network.graph import block_nodes, layer_nodes, natural_order


@dataclass(frozen=True)
class Layer:
    """One layer of a network at a given picture size.

    ``shape`` is that of its output without the batch axis, (C, H, W) for maps; ``parameters`` counts its own
    weights; ``macs`` are multiply-adds for one picture; ``receptive_field`` is None where each position sees the
    whole picture.
    """

    name: str
    aliases: tuple[str, ...]
    kind: str
    shape: tuple[int, ...]
    parameters: int
    macs: int
    receptive_field: ReceptiveField | None

    @property
    def is_spatial(self) -> bool:
        return len(self.shape) == 3


class LayerTable:
    """All layers in order of computation; finds one by its path, by its block's path, or by a paper's alias."""

    def __init__(self, graph_module: fx.GraphModule, aliases: dict[str, str]) -> None:
        self._graph_module = graph_module
        self._layers = layer_nodes(graph_module)
        self._blocks = block_nodes(self._layers)
        self._aliases = {a: path for a, path in aliases.items() if path in self._layers or path in self._blocks}

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def node(self, name: str) -> fx.Node:
        """The graph node whose output is layer ``name``; an unknown name is a UsageError listing the nearest."""
        for path in (name, self._aliases.get(name, name)):
            if path in self._layers:
                return self._layers[path]
            if path in self._blocks:
                return self._blocks[path]
        raise self._unknown(name)

    def name_of(self, node: fx.Node) -> str:
        return next(name for name, other in self._layers.items() if other is node)

    def aliases_of(self, node: fx.Node) -> tuple[str, ...]:
        """The papers' names of a node's output, and the block that ends in it, shortest first."""
        name = self.name_of(node)
        found = [
            alias
            for alias, path in self._aliases.items()
            if path == name or (path not in self._layers and self._blocks.get(path) is node)
        ]
        blocks = [path for path, last in self._blocks.items() if last is node]
        return tuple(sorted(found, key=len) + blocks)

    def _unknown(self, name: str) -> UsageError:
        known = natural_order({*self._layers, *self._blocks, *self._aliases})
        near = difflib.get_close_matches(name, known, n=5, cutoff=0.5) or known[:5]
        return UsageError(f"There is no layer called '{name}'. Near it: {', '.join(near)}. 'cnnviz layers' lists all.")

    def table(self, channels: int, size: tuple[int, int]) -> list[Layer]:
        """Every layer's facts for pictures of ``size`` (height, width), worked out without computing any value."""
        shapes = output_shapes(self._graph_module, (1, channels, *size))
        fields = geometry.receptive_fields(self._graph_module, shapes)
        counted: set[str] = set()
        rows = []
        for name, node in self._layers.items():
            if not isinstance(shapes[node], Size):
                continue  # a tuple on its way into the next operation
            module = self._graph_module.get_submodule(str(node.target)) if node.op == "call_module" else None
            fresh = module is not None and str(node.target) not in counted
            counted.add(str(node.target))
            rows.append(
                Layer(
                    name=name,
                    aliases=self.aliases_of(node),
                    kind=type(module).__name__ if module else name.rsplit(".", 1)[-1].rstrip("_0123456789"),
                    shape=tuple(shapes[node][1:]),
                    parameters=sum(p.numel() for p in module.parameters()) if module and fresh else 0,
                    macs=multiply_adds(module, shapes[node]) if module else 0,
                    receptive_field=fields.get(node),
                )
            )
        return rows


class _ShapeInterpreter(fx.Interpreter):
    """Runs a graph and keeps every node's output shape (for nodes that give no tensor: their value)."""

    def __init__(self, graph_module: fx.GraphModule) -> None:
        super().__init__(graph_module)
        self.shapes: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        self.shapes[n] = value.shape if isinstance(value, Tensor) else value
        return value


class _MetaInterpreter(_ShapeInterpreter):
    """Runs a graph on meta tensors, which have shapes and no values, whatever its parameters are on."""

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        module = self.fetch_attr(target)
        state = {name: tensor.to("meta") for name, tensor in (module.state_dict(keep_vars=True)).items()}
        return functional_call(module, state, args, kwargs)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        return value.to("meta") if isinstance(value, Tensor) else value


def output_shapes(graph_module: fx.GraphModule, input_shape: tuple[int, ...]) -> dict[fx.Node, Any]:
    """The output shape of every node (for nodes that give no tensor: their value), computed on shapes alone."""
    interpreter = _MetaInterpreter(graph_module)
    dtype = next((p.dtype for p in graph_module.parameters()), torch.float32)
    with torch.no_grad():
        interpreter.run(torch.empty(input_shape, device="meta", dtype=dtype))
    return interpreter.shapes


def shapes_of_pass(graph_module: fx.GraphModule, inputs: Tensor) -> dict[fx.Node, Any]:
    """The output shape of every node of one real pass over ``inputs``.

    For a small picture this is quicker than ``output_shapes``, whose first use imports torch's compiler stack.
    """
    interpreter = _ShapeInterpreter(graph_module)
    with torch.no_grad():
        interpreter.run(inputs)
    return interpreter.shapes


def multiply_adds(module: nn.Module, output: Size) -> int:
    """Multiply-adds of one convolution or linear layer for one picture; other layers count as none."""
    if isinstance(module, nn.Conv2d):
        per_value = module.in_channels // module.groups * module.kernel_size[0] * module.kernel_size[1]
    elif isinstance(module, nn.Linear):
        per_value = module.in_features
    else:
        return 0
    return per_value * (output.numel() // output[0])
