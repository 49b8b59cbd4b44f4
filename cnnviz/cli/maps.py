"""What the commands that draw maps share: the verdict they explain, the views, and the caption."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli import console
from cnnviz.cli.idle import idle
from cnnviz.cli.job import Picture, Result
from cnnviz.figures.captions import percent

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.figures.maps import MapStyle
    from cnnviz.network.network import Network, Prediction


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


@dataclass(frozen=True)
class Verdict:
    """What the network thinks of a picture, and the class that is explained."""

    predicted: Prediction
    target: Prediction

    def caption(self, network: Network) -> str:
        """One line for a figure: the network, and the class explained with its probability."""
        text = f"{network.name}: {self.target[1]} {percent(self.target[2])}"
        if self.target[0] != self.predicted[0]:
            text += f" (it says {self.predicted[1]} {percent(self.predicted[2])})"
        return text


def judge(network: Network, pixels: Tensor, target: str | int | None) -> Verdict:
    """The network's verdict on one picture (1, 3, H, W); ``target`` None explains the likeliest class."""
    return judge_each(network, pixels, target)[0]


def judge_each(network: Network, pixels: Tensor, target: str | int | None) -> list[Verdict]:
    """The network's verdict on each of several pictures (N, 3, H, W)."""
    import torch

    with torch.no_grad():
        return verdicts(network, network(pixels), target)


def verdicts(network: Network, logits: Tensor, target: str | int | None) -> list[Verdict]:
    """What logits (N, classes) say of each picture."""
    wanted = network.find_class(target) if target is not None else None

    def verdict(probabilities: Tensor) -> Verdict:
        likeliest = int(probabilities.argmax())
        both = likeliest, likeliest if wanted is None else wanted
        return Verdict(*((which, network.label(which), float(probabilities[which])) for which in both))

    return [verdict(row) for row in network.probabilities(logits).cpu()]


def map_style(view: View, colormap: str | None, percentile: float, blur: float | None, **more: Any) -> MapStyle:
    """The style that the map options ask for; a note names those without effect."""
    from cnnviz.figures.maps import MapStyle

    idle("colormap", "percentile", when=view is View.raw, why="with --view raw, gray and unclipped")
    return MapStyle(view.value, colormap, percentile, blur, **more)


def tell_if_blank(found: Tensor, picture: Picture, title: str, whose: str) -> dict[str, Any]:
    """Say so on stderr, and as facts for ``--json``, where a map shows nothing; no facts where it shows something."""
    from cnnviz.attribution.blank import blankness

    words = blankness(found)
    if words is None:
        return {}
    console.warn(f"{picture.source.display}: the map of {title} for {whose} is {words}.")
    return {"blank": words}


def attribution_result(image: Image, verdict: Verdict, **facts: Any) -> Result:
    """The result of explaining ``verdict`` by ``image``; ``facts`` join the JSON."""
    return Result(
        facts={
            "target": prediction_json(verdict.target),
            "predicted": prediction_json(verdict.predicted),
            **facts,
        },
        image=image,
        target=verdict.target[1],
        recipe={"target": prediction_json(verdict.target)},
    )


def prediction_json(prediction: Prediction) -> dict[str, Any]:
    """A class as ``--json`` tells it."""
    index, label, probability = prediction
    return {"index": index, "label": label, "probability": round(probability, 6)}
