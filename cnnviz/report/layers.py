"""The feature maps of a report: some layers from shallow to deep, and the channels that answer strongest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnnviz.features.activations import activation_grid
from cnnviz.figures.activations import activation_image
from cnnviz.report.figures import Figure, Study


@dataclass(frozen=True)
class LayerFigures:
    """A layer's strongest channels, each a small picture with a pixel for each place of the map."""

    name: str
    shape: Sequence[int]
    tiles: Sequence[Figure]
    recipe: Mapping[str, Any]


def layer_figures(study: Study, layer: str, top: int) -> LayerFigures:
    """The ``top`` strongest channels of a layer; black is no answer, white the channel's strongest (grey is none where
    values have signs)."""
    found = activation_grid(study.network, study.pixels, layer)
    tiles = []
    for channel in found.order[:top].tolist():
        image = activation_image(found.maps[channel], signed=found.signed).convert("L")
        tiles.append(Figure(f"channel {channel}", image, f"{found.strengths[channel]:.3g}", exact=True))
    return LayerFigures(layer, tuple(found.maps.shape), tiles, study.recipe_of("activations", layer=layer, top=top))
