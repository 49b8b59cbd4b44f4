"""The feature maps of a report: some layers from shallow to deep, and the channels that answer strongest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnnviz.features.activations import activation_grid
from cnnviz.figures.activations import activation_image
from cnnviz.network.layers import Layer
from cnnviz.network.network import Network
from cnnviz.report.figures import Figure, Study

_PASSING = (
    "Conv",
    "BatchNorm",
    "LayerNorm",
    "MaxPool",
    "AvgPool",
    "Adaptive",
    "max_pool",
    "avg_pool",
    "Dropout",
    "dropout",
)
"""Kinds of layers, in modules' and functions' names, whose output is only on its way to another's."""


@dataclass(frozen=True)
class LayerFigures:
    """A layer's strongest channels, each a small picture with a pixel for each place of the map."""

    name: str
    shape: Sequence[int]
    tiles: Sequence[Figure]
    recipe: Mapping[str, Any]


def usual_layers(network: Network, count: int = 4) -> list[str]:
    """Layers evenly spread over the depth, by the names of the papers where they have one.

    Of the layers whose output is a map of more than one place, those count that everything passes through (no side
    branch) and that end something (``fire5``, ``res3b``): not those on the way to an activation, nor the classifier.
    """
    table, layers = (
        [row for row in network.layer_table() if row.is_spatial and math.prod(row.shape[1:]) > 1],
        network.layers,
    )
    looking = [row for row in table if not row.sees_one_pixel and not layers.in_head(row.name)]
    trunk = _trunk(network)
    rows = [row for row in looking if row.name in trunk] or looking or table
    kept = [row for row in rows if not row.kind.startswith(_PASSING)] or rows
    ends = list({".".join(layers.inside(row.name).split(".")[:2]): row for row in kept}.values())
    if len(ends) > count:
        ends = [ends[round((n + 1) * len(ends) / count) - 1] for n in range(count)]
    return [_name(row) for row in ends]


def _trunk(network: Network) -> set[str]:
    """The layers that everything passes through: when one is computed, all that was before it has been used."""
    place = {node: number for number, node in enumerate(network.graph.graph.nodes)}
    names = {network.layers.node(name): name for name in network.layers}
    found, needed_until = set(), 0
    for node, number in place.items():
        if node in names and needed_until <= number:
            found.add(names[node])
        needed_until = max([needed_until, *(place[user] for user in node.users)])
    return found


def _name(row: Layer) -> str:
    """The shortest name that tells one layer of many: it has a number in it."""
    names = (*row.aliases, row.name)
    return min((name for name in names if any(sign.isdigit() for sign in name)), key=len, default=row.name)


def layer_figures(study: Study, layer: str, top: int) -> LayerFigures:
    """The ``top`` strongest channels of a layer; black is no answer, white the channel's strongest (grey is none where
    values have signs)."""
    found = activation_grid(study.network, study.pixels, layer)
    tiles = []
    for channel in found.order[:top].tolist():
        image = activation_image(found.maps[channel], signed=found.signed).convert("L")
        tiles.append(Figure(f"channel {channel}", image, f"{found.strengths[channel]:.3g}", exact=True))
    return LayerFigures(layer, tuple(found.maps.shape), tiles, study.recipe_of("activations", layer=layer, top=top))
