"""The figure of ``--check``: a map's deletion and insertion curves, and the map of a randomized network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from cnnviz.figures.grid import panel, stack
from cnnviz.figures.heatmap import heat_image
from cnnviz.figures.plot import Series, line_plot
from cnnviz.imaging.map_ops import upsample

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.attribution.faithfulness import FaithfulnessCurve, RandomizationStep

_RED, _BLUE = "#c0392b", "#1f77b4"
_PLOT = (600, 420)  # pixels, width and height
_WIDE = 2.6  # width over height from which maps stand below the plot


@dataclass(frozen=True)
class FaithfulnessCurves:
    """The deletion and the insertion curve of one map; ``score`` names what they show."""

    deletion: FaithfulnessCurve
    insertion: FaithfulnessCurve
    score: str = "probability"


@dataclass(frozen=True)
class Randomized:
    """The map of a randomized network: how similar it is, and its curves."""

    curves: FaithfulnessCurves
    step: RandomizationStep

    @property
    def caption(self) -> str:
        """What stands under the map."""
        ssim, ranks = float(self.step.ssim), float(self.step.rank_correlation)
        return f"with random weights: SSIM {ssim:.2f}, ranks {ranks:.2f}"


def faithfulness_figure(
    curves: FaithfulnessCurves, attribution: Tensor, title: str, randomized: Randomized | None = None
) -> Image.Image:
    """The curves, the map, and the map of the randomized network, side by side; wide maps below the curves.

    Args:
        curves: of the map, for one image.
        attribution: the map, (1, 1, H, W).
        title: one line above.
        randomized: the randomized network's map, if there is one.
    """
    signed = bool((attribution < 0).any())
    aspect = attribution.shape[3] / attribution.shape[2]
    height = _PLOT[1] if aspect <= _WIDE else round(2 * _PLOT[0] / aspect)
    size = height, max(1, round(height * aspect))
    shown = {"the map": attribution, **({randomized.caption: randomized.step.maps} if randomized else {})}
    maps = [heat_image(upsample(found, size), signed=signed) for found in shown.values()]
    captions = list(shown)
    plot = _plot(curves, randomized.curves if randomized else None)
    if aspect > _WIDE:
        return stack([panel([plot], title=title, tile_height=_PLOT[1]), panel(maps, captions)])
    return panel([plot, *maps], ["", *captions], title, tile_height=height)


def _plot(curves: FaithfulnessCurves, randomized: FaithfulnessCurves | None) -> Image.Image:
    series = []
    for name, color in (("insertion", _BLUE), ("deletion", _RED)):
        for owner, whose in ((curves, ""), (randomized, ", randomized")):
            if owner is None:
                continue
            curve: FaithfulnessCurve = getattr(owner, name)
            label = f"{name}{whose}: area {float(curve.area):.3f}"
            points = curve.shares.tolist(), curve.probabilities[0].tolist()
            series.append(Series(label, *points, color, owner is randomized))
    return line_plot(series, "pixels changed, most important first", curves.score, _PLOT)
