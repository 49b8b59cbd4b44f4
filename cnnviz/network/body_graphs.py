"""The graphs of the module that a network runs, each made when it is first needed: whole, cut at layers, streaming."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from torch import Tensor, fx, nn

from cnnviz.errors import ModelError
from cnnviz.network.architecture_detection import find_architecture
from cnnviz.network.black_box import BlackBox
from cnnviz.network.graph import trace
from cnnviz.network.graph_check import GraphCheck
from cnnviz.network.graph_rewrites import fuse_inplace_relu, stream_to_callback, truncate
from cnnviz.network.layers import LayerTable
from cnnviz.network.module_copy import copy_module
from cnnviz.network.outputs import why_no_logits


class BodyGraphs:
    """The graphs of ``body``, kept until the body changes.

    Args:
        body: normalized input -> outputs.
        choose: from what the body returns to its logits, see ``outputs.OutputChoice``.
        name: the architecture's name.
        input_shape: channels, height and width of the input that shapes are computed for.
        check: compares the graph with the body; None where they are known to agree. Tracing then changes ``body``
            itself, otherwise a copy of it.
    """

    def __init__(
        self,
        body: nn.Module,
        choose: Callable[[Any], Any],
        name: str,
        input_shape: tuple[int, int, int],
        check: GraphCheck | None = None,
    ) -> None:
        self._body, self._choose, self._name = body, choose, name
        self._input_shape, self._check = input_shape, check
        self._whole: fx.GraphModule | None = None
        self._truncated: dict[tuple[tuple[tuple[str, str | None], ...], bool], fx.GraphModule] = {}
        self._streaming: dict[tuple[str, ...], fx.GraphModule] = {}

    @property
    def is_traced(self) -> bool:
        """Whether the whole graph has been made."""
        return self._whole is not None

    @property
    def whole(self) -> fx.GraphModule:
        """Normalized input -> logits.

        Raises ModelError where the body cannot be traced, or the graph computes something else.
        """
        if isinstance(self._body, BlackBox):
            raise ModelError(f"{self._name} only gives scores: it has no layers to look into.", remedy="scores_only")
        if self._whole is None:
            self._whole = trace(self._body if self._check is None else copy_module(self._body), self._choose)
            if self._check is not None:
                self._check.check_pending(self._whole)
        return self._whole

    @cached_property
    def fused(self) -> fx.GraphModule:
        """The whole graph for passes that need the logits alone."""
        return fuse_inplace_relu(self.whole)

    @cached_property
    def layers(self) -> LayerTable:
        """The table of layers."""
        return LayerTable(self.whole, find_architecture(self._name, self._body), self._input_shape)

    @property
    def output_node(self) -> fx.Node:
        """The node that gives the logits; ModelError where the body has several outputs and none was chosen."""
        found = self.whole.graph.output_node().args[0]
        if not isinstance(found, fx.Node):
            raise why_no_logits(found, self._name)
        return found

    def truncated(self, layers: Mapping[str, str | None], *, fused: bool) -> fx.GraphModule:
        """The graph that computes ``layers`` alone; see ``Network.truncated``."""
        key = tuple(layers.items()), fused
        if key not in self._truncated:
            nodes = {name: self.layers.node(layer) if layer else self.output_node for name, layer in layers.items()}
            cut = truncate(self.whole, nodes, self.layers.nchw_orders(nodes.values()))
            self._truncated[key] = fuse_inplace_relu(cut) if fused else cut
        return self._truncated[key]

    def streaming(self, layers: Sequence[str]) -> fx.GraphModule:
        """The graph of an input and a callback, which gets the output of each of ``layers`` once it is computed."""
        key = tuple(layers)
        if key not in self._streaming:
            nodes = {name: self.layers.node(name) for name in layers}
            self._streaming[key] = stream_to_callback(self.whole, nodes, self.layers.nchw_orders(nodes.values()))
        return self._streaming[key]

    def check(self, x: Tensor) -> None:
        """Compare graph and body on a normalized input of a new size, now or once there is a graph."""
        if self._check is not None:
            self._check.check(x, self._whole)
