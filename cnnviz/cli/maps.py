"""What the commands that draw maps share: the verdict they explain, the views, and the caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli import console
from cnnviz.cli.idle import idle
from cnnviz.cli.job import Picture, Result

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.network import Network
    from cnnviz.network.network import Prediction


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


def percent(probability: float) -> str:
    """A probability as people read it: ``96 %``, ``0.3 %``, never a rounded ``100 %`` or ``0 %``."""
    if 0.005 <= probability < 0.995:
        return f"{probability:.0%}".replace("%", " %")
    if probability >= 0.995:
        return f"{min(probability, 0.99999):.3%}".replace("%", " %")
    return f"{probability:.1%}".replace("%", " %") if probability >= 0.0005 else "< 0.05 %"


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


@dataclass(frozen=True)
class MapStyle:
    """How the user wants maps drawn.

    ``signed`` maps show both signs on a diverging scale. ``overlay_blur`` smooths the map where it is laid over the
    photo, in the overlay view as on a panel, unless ``blur`` says otherwise: the dots of a gradient are lost on a
    photo, while the map alone is shown as it is.
    """

    view: View = View.panel
    colormap: str | None = None
    percentile: float = 99.0
    blur: float | None = None
    signed: bool = False
    overlay_blur: float = 0.0

    def __post_init__(self) -> None:
        idle("colormap", "percentile", when=self.view is View.raw, why="with --view raw, gray and unclipped")

    def render(
        self,
        found: Tensor,
        picture: Picture,
        caption: str,
        title: str,
        extra: Sequence[tuple[Image, str]] = (),
        colored: Image | None = None,
    ) -> Image:
        """A map (1, 1, H, W) as an image in the view asked for; a panel ends with the ``extra`` tiles.

        ``colored`` is shown instead of the map's heat: a gradient image in color of its own.
        """
        from cnnviz.imaging.grid import panel
        from cnnviz.imaging.heatmap import grayscale

        if self.view is View.raw:
            return grayscale(self._smoothed(found, self.blur or 0.0), signed=self.signed)
        if self.view is View.overlay:
            return self._overlay(found, picture)
        heat = self._heat(found, picture) if colored is None or self.colormap else colored
        if self.view is View.heat:
            return heat
        note = (
            "overlay"
            if self.blur is not None or not self.overlay_blur
            else (f"overlay (map smoothed, σ = {self.overlay_blur:g} px)")
        )
        tiles = [(picture.photo, "photo"), (heat, title), (self._overlay(found, picture), note), *extra]
        return panel([tile for tile, _ in tiles], captions=[words for _, words in tiles], title=caption)

    def _overlay(self, found: Tensor, picture: Picture) -> Image:
        from cnnviz.imaging.heatmap import overlay

        smoothed = self._smoothed(found, self.overlay_blur if self.blur is None else self.blur)
        return overlay(picture.photo, smoothed, **self._colors())

    def _heat(self, found: Tensor, picture: Picture) -> Image:
        from PIL import Image

        from cnnviz.imaging.heatmap import colorize, upsample

        width, height = picture.photo.size
        shown = upsample(self._smoothed(found, self.blur or 0.0), (height, width))
        return Image.fromarray(colorize(shown, **self._colors()))

    def _smoothed(self, found: Tensor, sigma: float) -> Any:
        from cnnviz.imaging.heatmap import smooth

        return smooth(found[0, 0].detach().cpu().numpy(), sigma)

    def _colors(self) -> dict[str, Any]:
        return {"colormap": self.colormap, "signed": self.signed, "percentile": self.percentile}


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
