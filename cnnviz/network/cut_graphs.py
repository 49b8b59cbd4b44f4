"""One graph of a network's module, and what is made of it when it is first needed: layers, cut and streaming graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from torch import Size, fx

from cnnviz.network.architecture_detection import Architecture
from cnnviz.network.graph_rewrites import fuse_inplace_relu, stream_to_callback, truncate
from cnnviz.network.layers import LayerTable
from cnnviz.network.outputs import why_no_logits


class CutGraphs:
    """A graph of a whole network, the table of its layers, and the graphs cut from it, which are kept.

    Args:
        whole: normalized input -> the chosen output.
        name: the architecture's name.
        architecture: what the network is built as.
        input_shape: channels, height and width of the input that shapes are computed for.
        size: the only height and width it is for; None for any.
    """

    def __init__(
        self,
        whole: fx.GraphModule,
        name: str,
        architecture: Architecture,
        input_shape: tuple[int, int, int],
        size: tuple[int, int] | None = None,
    ) -> None:
        self.whole, self.size = whole, size
        self.agreed: set[Size] = set()
        """Shapes of images for which it was found to compute what the module does."""
        self._name, self._architecture = name, architecture
        self._input_shape = input_shape if size is None else (input_shape[0], *size)
        self._truncated: dict[tuple[tuple[tuple[str, str | None], ...], bool, bool], fx.GraphModule] = {}
        self._streaming: dict[tuple[str, ...], fx.GraphModule] = {}

    def is_for(self, shape: Size) -> bool:
        """Whether the graph is for inputs of that shape."""
        return self.size in (None, tuple(shape[-2:]))

    @cached_property
    def fused(self) -> fx.GraphModule:
        """The whole graph for passes that need the logits alone."""
        return fuse_inplace_relu(self.whole)

    @cached_property
    def layers(self) -> LayerTable:
        """The table of layers."""
        return LayerTable(self.whole, self._architecture, self._input_shape)

    @property
    def output_node(self) -> fx.Node:
        """The node that gives the logits; ModelError where there are several outputs and none was chosen."""
        found = self.whole.graph.output_node().args[0]
        if not isinstance(found, fx.Node):
            raise why_no_logits(found, self._name)
        return found

    def truncated(self, layers: Mapping[str, str | None], *, fused: bool, leaves: bool = False) -> fx.GraphModule:
        """The graph that computes ``layers`` alone; see ``Network.truncated``."""
        key = tuple(layers.items()), fused, leaves
        if key not in self._truncated:
            nodes = {name: self.layers.node(layer) if layer else self.output_node for name, layer in layers.items()}
            cut = truncate(
                self.whole,
                nodes,
                self.layers.views(nodes.values()),
                [nodes[name] for name, layer in layers.items() if layer and leaves],
            )
            self._truncated[key] = fuse_inplace_relu(cut) if fused else cut
        return self._truncated[key]

    def streaming(self, layers: Sequence[str]) -> fx.GraphModule:
        """The graph of an input and a callback, which gets the output of each of ``layers`` once it is computed."""
        key = tuple(layers)
        if key not in self._streaming:
            nodes = {name: self.layers.node(name) for name in layers}
            self._streaming[key] = stream_to_callback(self.whole, nodes, self.layers.views(nodes.values()))
        return self._streaming[key]
