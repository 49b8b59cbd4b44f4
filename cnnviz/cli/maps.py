"""Options and results that the commands for attribution maps share."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli import console
from cnnviz.cli.idle import idle
from cnnviz.pipeline.result import LoadedImage
from cnnviz.tasks.explanations import blank_map

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.figures.maps import MapStyle


class View(str, Enum):
    """How a map is shown."""

    panel = "panel"
    overlay = "overlay"
    heat = "heat"
    raw = "raw"


ViewOption = Annotated[
    View,
    typer.Option(
        "--view",
        help="panel: photo, map and overlay side by side. overlay: on the photo at its own resolution. "
        "heat: the map in colour at the photo's resolution. raw: the map in grey as the network sees it, unclipped.",
    ),
]
ColormapOption = Annotated[
    str | None,
    typer.Option("--colormap", help="A matplotlib colormap.", metavar="NAME", show_default="by map"),
]


def clip_option(default: str | None = None) -> Any:
    """``--percentile``, with words for its default where that is not one number."""
    help = "Clip the map at this percentile; few pixels hold the peak."
    return typer.Option("--percentile", min=1, max=100, help=help, show_default=default or True)


PercentileOption = Annotated[float, clip_option()]
BlurOption = Annotated[
    float | None,
    typer.Option(
        "--blur",
        min=0,
        max=10_000,
        help="Smooth the shown map by a Gaussian of so many of the network's pixels.",
        show_default="0; gradients laid over the photo 2",
    ),
]


def map_style(view: View, colormap: str | None, percentile: float, blur: float | None, **more: Any) -> MapStyle:
    """The style that the map options ask for; a note names those without effect."""
    from cnnviz.figures.maps import MapStyle

    idle("colormap", "percentile", when=view is View.raw, why="with --view raw, gray and unclipped")
    return MapStyle(view.value, colormap, percentile, blur, **more)


def tell_if_blank(found: Tensor, picture: LoadedImage, title: str, whose: str) -> dict[str, Any]:
    """Say so on stderr, and as metadata, where a map shows nothing; no metadata where it shows something."""
    metadata, warnings = blank_map(found, picture.source.display, title, whose)
    for warning in warnings:
        console.warn(warning)
    return metadata
