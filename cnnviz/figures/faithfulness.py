"""The figure of ``--check``: a map's deletion and insertion curves, and the map of a randomized network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from cnnviz.figures.grid import panel, stack
from cnnviz.figures.heatmap import colorize
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
    """The deletion and the insertion curve of one map."""

    deletion: FaithfulnessCurve
    insertion: FaithfulnessCurve


def faithfulness_figure(
    curves: FaithfulnessCurves,
    randomized: FaithfulnessCurves,
    attribution: Tensor,
    step: RandomizationStep,
    title: str,
) -> Image.Image:
    """The curves, the map, and the map of the randomized network, side by side; wide maps below the curves.

    Args:
        curves: of the map, for one image.
        randomized: of the randomized network's map.
        attribution: the map, (1, 1, H, W).
        step: the randomized network's map and how similar it is.
        title: one line above.
    """
    signed = bool((attribution < 0).any())
    aspect = attribution.shape[3] / attribution.shape[2]
    height = _PLOT[1] if aspect <= _WIDE else round(2 * _PLOT[0] / aspect)
    size = height, max(1, round(height * aspect))
    maps = [Image.fromarray(colorize(upsample(m, size), signed=signed)) for m in (attribution, step.maps)]
    captions = [
        "the map",
        f"with random weights: SSIM {float(step.ssim):.2f}, ranks {float(step.rank_correlation):.2f}",
    ]
    plot = _plot(curves, randomized)
    if aspect > _WIDE:
        return stack([panel([plot], title=title, tile_height=_PLOT[1]), panel(maps, captions)])
    return panel([plot, *maps], ["", *captions], title, tile_height=height)


def _plot(curves: FaithfulnessCurves, randomized: FaithfulnessCurves) -> Image.Image:
    series = []
    for name, color in (("insertion", _BLUE), ("deletion", _RED)):
        for owner, whose in ((curves, ""), (randomized, ", randomized")):
            curve: FaithfulnessCurve = getattr(owner, name)
            label = f"{name}{whose}: area {float(curve.area):.3f}"
            points = curve.shares.tolist(), curve.probabilities[0].tolist()
            series.append(Series(label, *points, color, owner is randomized))
    return line_plot(series, "pixels changed, most important first", "probability", _PLOT)
