"""The feature maps of a report: the strongest channels of some layers, shallow to deep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnnviz.features.activations import activation_grid
from cnnviz.figures.activations import activation_image
from cnnviz.report.page_figure import PageFigure
from cnnviz.report.report_input import ReportInput


@dataclass(frozen=True)
class LayerFigures:
    """A layer's strongest channels, each as an image with a pixel for each of the map's values.

    ``shape`` is that of the layer's maps, (C, H, W).
    """

    name: str
    shape: Sequence[int]
    tiles: Sequence[PageFigure]
    recipe: Mapping[str, Any] | None


def layer_figures(report_input: ReportInput, layer: str, top: int) -> LayerFigures:
    """The ``top`` strongest channels of a layer, each scaled by its largest magnitude; see ``activation_image``."""
    found = activation_grid(report_input.network, report_input.pixels, layer)
    tiles = []
    for channel in found.order[:top].tolist():
        image = activation_image(found.maps[channel], signed=found.signed).convert("L")
        tiles.append(PageFigure(f"channel {channel}", image, f"{found.strengths[channel]:.3g}", exact=True))
    return LayerFigures(
        layer, tuple(found.maps.shape), tiles, report_input.recipe_of("activations", layer=layer, top=top)
    )
