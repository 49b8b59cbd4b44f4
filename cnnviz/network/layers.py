"""The table of a network's layers: name, aliases, output shape, cost, and receptive field."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Size, fx

from cnnviz.errors import UsageError
from cnnviz.network.architecture_detection import Architecture
from cnnviz.network.costs import costs_by_layer, shapes_and_macs
from cnnviz.network.families import layer_aliases
from cnnviz.network.geometry import Coverage, ReceptiveField, Region
from cnnviz.network.graph import block_nodes, layer_nodes, natural_order
from cnnviz.network.hooked import missing_layers, module_read
from cnnviz.network.layout import Layouts
from cnnviz.network.map_views import MapView
from cnnviz.network.operations import module_of, operation_label
from cnnviz.network.receptive_fields import visible_regions


@dataclass(frozen=True)
class Layer:
    """One layer of a network, for images of a given size.

    Args:
        name: the layer's path.
        aliases: the papers' names, shortest first, and the blocks that end in it.
        kind: the class of its module, or the name of its function.
        shape: of its output without the batch axis, (C, H, W) for maps.
        parameters: the number of weights that no layer before it uses.
        macs: multiply-adds for one image; None where they cannot be counted.
        receptive_field: the window of pixels that a position depends on; None where there is no such window.
        sees: ``window`` if there is one, otherwise ``all`` (of the image) or ``unknown``.
        layout: the order of a map's axes while it is computed (``NCHW``, ``NHWC``; ``NTC`` for tokens, of which those
            at positions are the map); None for any other output.
    """

    name: str
    aliases: tuple[str, ...]
    kind: str
    shape: tuple[int, ...]
    parameters: int
    macs: int | None
    receptive_field: ReceptiveField | None
    sees: str
    layout: str | None

    @property
    def is_spatial(self) -> bool:
        """Whether the output is a map (C, H, W)."""
        return self.layout is not None

    @property
    def sees_one_pixel(self) -> bool:
        """Whether each position depends on one pixel alone, as after a normalization of colors."""
        return self.receptive_field is not None and max(self.receptive_field.size) == 1


_HEADS = ("classifier", "avgpool", "fc", "head", "dropout", "adaptive_avg_pool2d")


class LayerTable:
    """All layers in order of computation, found by path, by the path of a block, or by a paper's alias.

    Layers of a network inside a wrapper are found by their path in the network too: ``layer3`` for ``model.layer3``.
    ``family`` is the architecture that the network is built as, or its own name if that is unknown.
    """

    def __init__(
        self,
        graph_module: fx.GraphModule,
        architecture: Architecture,
        input_shape: tuple[int, int, int] = (3, 224, 224),
    ) -> None:
        self._graph_module = graph_module
        self._input_shape = input_shape
        self._layouts = Layouts(graph_module, input_shape)
        self._layers = layer_nodes(graph_module)
        self._blocks = block_nodes(self._layers)
        self._within, self.family = architecture.path, architecture.family
        aliases = layer_aliases(architecture).items()
        self._aliases = {alias: path for alias, path in aliases if path in self._layers or path in self._blocks}

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def node(self, name: str) -> fx.Node:
        """The graph node whose output is layer ``name``; UsageError that lists the nearest names if it is unknown."""
        found = self._find(name)
        if found is None:
            raise self._unknown(name)
        return found

    def __contains__(self, name: object) -> bool:
        """Whether a layer has that name, alias or block path."""
        return isinstance(name, str) and self._find(name) is not None

    def _find(self, name: str) -> fx.Node | None:
        paths = (name, self._aliases.get(name, name), f"{self._within}{name}")
        return next((table[path] for path in paths for table in (self._layers, self._blocks) if path in table), None)

    def unwrapped_name(self, name: str) -> str:
        """A layer's name without the path of the network in its wrapper."""
        return name.removeprefix(self._within)

    def in_head(self, name: str) -> bool:
        """Whether a layer belongs to the classifier, by its name."""
        return self.unwrapped_name(name).split(".")[0] in _HEADS

    def name_of(self, node: fx.Node) -> str:
        """The name of the layer whose output a node is."""
        return next(name for name, other in self._layers.items() if other is node)

    def aliases_of(self, node: fx.Node) -> tuple[str, ...]:
        """The papers' names of a node's output, shortest first, and the blocks that end in it."""
        name = self.name_of(node)
        found = [
            alias
            for alias, path in self._aliases.items()
            if path == name or (path not in self._layers and self._blocks.get(path) is node)
        ]
        blocks = [path for path, last in self._blocks.items() if last is node]
        return tuple(sorted(found, key=len) + blocks)

    def common_name(self, name: str) -> str:
        """The name that papers have for a layer, else the layer's own: ``fire9`` for ``features.12.cat``."""
        return next(iter(self.aliases_of(self.node(name))), name)

    def views(self, nodes: Iterable[fx.Node]) -> dict[fx.Node, MapView]:
        """How those ``nodes`` are seen as maps (N, C, H, W) that are maps of another layout."""
        found = {node: self._layouts.view(node) for node in nodes}
        return {node: view for node, view in found.items() if view is not None and not view.is_plain}

    def is_map(self, name: str) -> bool:
        """Whether a layer's output is a map (N, C, H, W), in any order of axes, or has a token for each position."""
        return self._layouts.is_map(self.node(name))

    def is_read(self, name: str) -> bool:
        """Whether the scores depend on a layer's positions; False where a classifier reads its class tokens alone."""
        return self._layouts.is_read(self.node(name))

    def map_size(self, name: str, shapes: Mapping[fx.Node, Any]) -> tuple[int, int] | None:
        """Height and width of a layer's map, given the nodes' ``shapes``; None where its output is no map."""
        node = self.node(name)
        view = self._layouts.view(node) if isinstance(shapes[node], Size) else None
        return None if view is None else view.shape(shapes[node], shapes)[2:]

    def require_map(self, name: str) -> None:
        """Raise UsageError that names the nearest map, unless the layer's output is one."""
        if self.is_map(name):
            return
        node = self.node(name)
        rows = self.table(self._input_shape[0], self._input_shape[1:])
        maps = [row.name for row in rows if row.layout and row.shape[1] * row.shape[2] > 1]
        depth = {layer: number for number, layer in enumerate(self._layers)}
        here = depth[self.name_of(node)]
        near = min(maps, key=lambda layer: abs(depth[layer] - here), default=None)
        shape = next(
            ("×".join(map(str, row.shape)) for row in rows if row.name == self.name_of(node)), "several tensors"
        )
        nearest = f"; the nearest that is one is '{near}'" if near else ""
        raise UsageError(f"The layer '{name}' is no map ({shape}){nearest}.", remedy="list_maps")

    def _unknown(self, name: str) -> UsageError:
        known = natural_order({*self._layers, *self._blocks, *self._aliases})
        near = difflib.get_close_matches(name, known, n=5, cutoff=0.5) or known[:5]
        missing = missing_layers(self._graph_module)
        nearest = f"The nearest names are {', '.join(near)}." if near else "It has no layers."
        return UsageError(
            " ".join(filter(None, (f"There is no layer called '{name}'.", nearest, missing))), remedy="list_layers"
        )

    def table(self, channels: int, size: tuple[int, int], count: int = 1) -> list[Layer]:
        """Every layer for images of ``size`` (height, width), from shapes alone, of ``count`` images at a time."""
        shapes, of_all = shapes_and_macs(self._graph_module, (count, channels, *size))
        macs = {node: None if each is None else each // count for node, each in of_all.items()}
        seen = visible_regions(self._graph_module, shapes, self._layouts)
        # A node of several tensors is no row: its costs count for the next one.
        rows = {name: node for name, node in self._layers.items() if isinstance(shapes.get(node), Size)}
        parameters, macs = costs_by_layer(self._graph_module, set(rows.values()), macs)
        return [
            self._row(name, node, shapes, parameters[node], macs[node], seen.get(node, Coverage.UNKNOWN))
            for name, node in rows.items()
        ]

    def _row(
        self,
        name: str,
        node: fx.Node,
        shapes: Mapping[fx.Node, Any],
        parameters: int,
        macs: int | None,
        seen: Region,
    ) -> Layer:
        shape = shapes[node]
        module = module_of(self._graph_module, node) or module_read(self._graph_module, node)
        view = self._layouts.view(node)
        function = name.rsplit(".", 1)[-1].rstrip("_0123456789") or operation_label(self._graph_module, node)
        return Layer(
            name=name,
            aliases=self.aliases_of(node),
            kind=type(module).__name__ if module else function,
            shape=(view.shape(shape, shapes) if view else tuple(shape))[1:],
            parameters=parameters,
            macs=macs,
            receptive_field=seen if isinstance(seen, ReceptiveField) else None,
            sees="window" if isinstance(seen, ReceptiveField) else seen.value,
            layout=self._layouts.of(node) if view else None,
        )
