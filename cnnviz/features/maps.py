"""What is to be known of a layer's maps before looking for their strongest positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from cnnviz.errors import UsageError
from cnnviz.network import Network
from cnnviz.network.geometry import ReceptiveField, receptive_fields
from cnnviz.network.graph import truncate
from cnnviz.network.layers import shapes_of_pass


@dataclass(frozen=True)
class MapLayer:
    """A layer whose output is a map: its own name, its number of channels, and what one position sees.

    ``field`` is None where each position sees the whole picture.
    """

    name: str
    channels: int
    field: ReceptiveField | None


def map_layer(network: Network, layer: str) -> MapLayer:
    """Look at a layer; UsageError if it is unknown, or its output has no positions that see a part each.

    One pass over an empty picture tells the shapes: ``Network.layer_table`` needs no values, but its first use
    imports more of torch than the pass takes.
    """
    node = network.layers.node(layer)
    part = truncate(network.graph, {layer: node})
    empty = torch.zeros(1, 3, network.spec.size, network.spec.size)
    shapes = shapes_of_pass(part, network.normalize(empty))
    copy: Any = part.graph.output_node().args[0]
    shape = shapes.get(copy[layer])
    if not isinstance(shape, torch.Size) or len(shape) != 4:
        found = "×".join(map(str, shape[1:])) if isinstance(shape, torch.Size) else "several tensors"
        raise UsageError(f"The layer '{layer}' is no map ({found}): name one of shape C×H×W from 'cnnviz layers'.")
    return MapLayer(network.layers.name_of(node), shape[1], receptive_fields(part, shapes)[copy[layer]])
