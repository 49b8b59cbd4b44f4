"""Values with their intervals, one below the other, drawn by matplotlib, which is imported only when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from cnnviz.figures.text import CAPTION_COLOR, TITLE_COLOR

_RULE = "#dddddd"
_DPI = 100


@dataclass(frozen=True)
class Row:
    """A value, the interval about it if it has one, its name and its color."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    color: str = "#1f77b4"


def interval_plot(rows: Sequence[Row], x_label: str, size: tuple[int, int] = (480, 360)) -> Image.Image:
    """Rows of a value and its interval, the first on top, over a common axis that shows zero; RGB.

    Args:
        rows: At least one; values that are not finite are left out.
        x_label: What the values are, below the axis.
        size: Width and height of the image in pixels.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = size
    points = min(11.0, max(7.0, height / (3.2 * (len(rows) + 2)))) * 72 / _DPI * 1.35
    font: dict[str, Any] = {"fontfamily": "DejaVu Sans", "fontsize": points}
    canvas = FigureCanvasAgg(Figure((width / _DPI, height / _DPI), dpi=_DPI, facecolor="white", layout="constrained"))
    axes = canvas.figure.add_subplot(facecolor="white")
    for place, row in enumerate(rows):
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [place, place], color=row.color, linewidth=2, solid_capstyle="round")
        else:
            axes.plot([0, row.value], [place, place], color=row.color, linewidth=1, alpha=0.5)
        axes.plot([row.value], [place], "o", color=row.color, markersize=points / 1.6)
    axes.axvline(0, color=CAPTION_COLOR, linewidth=0.7)
    axes.set_yticks(range(len(rows)), [row.name.replace("$", r"\$") for row in rows], color=CAPTION_COLOR, **font)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(length=0, labelsize=points, colors=CAPTION_COLOR)
    axes.grid(axis="x", color=_RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(x_label, color=TITLE_COLOR, **font)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
