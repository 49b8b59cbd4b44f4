"""The channels and the receptive field of a layer whose output is a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cnnviz.network.geometry import ReceptiveField
from cnnviz.network.network import Network
from cnnviz.network.receptive_fields import receptive_fields
from cnnviz.network.shapes import shapes_by_forward


@dataclass(frozen=True)
class MapLayer:
    """A layer whose output is a map: its name, number of channels, and receptive field.

    ``field`` is None where each position depends on the whole image.
    """

    name: str
    channels: int
    field: ReceptiveField | None


def map_layer(network: Network, layer: str) -> MapLayer:
    """The channels and receptive field of a layer.

    Found by one pass over an image of zeros: ``Network.layer_table`` needs no values, but its first use imports more
    of torch, which takes longer than the pass.

    Raises:
        UsageError: no such layer, or one whose output is no map.
    """
    network.layers.require_map(layer)
    part = network.truncated({layer: layer})
    empty = network.blank_pixels()
    shapes = shapes_by_forward(part, network.normalize(empty))
    copy: Any = part.graph.output_node().args[0]
    field = receptive_fields(part, shapes)[copy[layer]]
    return MapLayer(network.layers.name_of(network.layers.node(layer)), shapes[copy[layer]][1], field)


def patch_window(
    field: ReceptiveField | None, row: int, column: int, size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Top, left, bottom, right (exclusive) of what a position of a map sees, in pixels of an image of ``size`` (H, W).

    It may extend beyond the border. The whole image where ``field`` is None.
    """
    return field.window(row, column) if field else (0, 0, *size)
