"""The feature maps of a report: some layers from shallow to deep, and the channels that answer strongest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnnviz.features import activation_grid
from cnnviz.imaging.pixels import to_photo
from cnnviz.network import Network
from cnnviz.report.figures import Figure, Study

_HEADS = ("classifier", "fc", "head")
_PASSING = ("Conv", "BatchNorm", "LayerNorm", "MaxPool", "AvgPool", "max_pool", "avg_pool", "Dropout", "dropout")
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

    Of the layers whose output is a map of more than one place, the last of each block counts (``fire5``); convolutions
    before their activation, poolings and the classifier do not.
    """
    maps = [row for row in network.layer_table() if row.is_spatial and row.shape[1] * row.shape[2] > 1]
    body = [row for row in maps if not row.name.startswith(_HEADS)] or maps
    blocks = {_block(row.name): row for row in body if not row.kind.startswith(_PASSING)} or {r.name: r for r in body}
    rows = list(blocks.values())
    if len(rows) > count:
        rows = [rows[round((n + 1) * len(rows) / count) - 1] for n in range(count)]
    return [min((row.name, *row.aliases), key=len) for row in rows]


def _block(name: str) -> str:
    """The part of a layer's name that its block shares: ``features.3.expand1x1`` and ``features.3.cat`` are one."""
    return ".".join(name.split(".")[:2])


def layer_figures(study: Study, layer: str, top: int) -> LayerFigures:
    """The ``top`` strongest channels of a layer; black is no answer, white the channel's strongest (grey is none where
    values have signs)."""
    found = activation_grid(study.network, study.pixels, layer)
    tiles = []
    for channel in found.order[:top].tolist():
        level = found.maps[channel].float()
        level = level / level.abs().amax().clamp_min(1e-12)
        picture = to_photo(level / 2 + 0.5 if found.signed else level)
        tiles.append(Figure(f"channel {channel}", picture.convert("L"), f"{found.strengths[channel]:.3g}", exact=True))
    return LayerFigures(layer, tuple(found.maps.shape), tiles, study.recipe_of("activations", layer=layer, top=top))
