"""A small line plot, drawn by matplotlib, which is imported only when one is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from cnnviz.errors import UsageError
from cnnviz.figures.text import CAPTION_COLOR, TITLE_COLOR

_RULE = "#dddddd"
_DPI = 100
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the axes' lengths
_NICE = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class Series:
    """One line of a plot: its name in the legend, its points, its color, and whether it is dashed."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    color: str
    dashed: bool = False


def line_plot(series: Sequence[Series], x_label: str, y_label: str, size: tuple[int, int] = (480, 360)) -> Image.Image:
    """Lines over x in [0, 1] and y from 0, or a round number below, up to a round number, with a legend above; RGB.

    Args:
        series: At least one line.
        x_label: What x is, below its axis, whose ticks are percentages.
        y_label: What y is, above its axis.
        size: Width and height of the image in pixels.

    Raises UsageError if there are no lines, a line's xs and ys differ in number, or a y is not finite.
    """
    if not series or any(len(line.xs) != len(line.ys) or not line.xs for line in series):
        raise UsageError("A plot needs lines, each with as many ys as xs.")
    heights = [y for line in series for y in line.ys]
    if not all(map(math.isfinite, heights)):
        raise UsageError("A plot's ys must be finite.")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = size
    text = max(10, height // 28)  # pixels
    canvas = FigureCanvasAgg(Figure((width / _DPI, height / _DPI), dpi=_DPI, facecolor="white"))
    legend = round(1.5 * text) * len(series)
    left, top, right, bottom = 4 * text, legend + 2 * text, width - 2 * text, height - 3 * text
    box = left / width, 1 - bottom / height, (right - left) / width, (bottom - top) / height
    axes = canvas.figure.add_axes(box, xlim=(0, 1), ylim=_limits(heights), facecolor="white")
    for line in series:
        style = (0, (4, 2.5)) if line.dashed else "-"
        axes.plot(line.xs, line.ys, color=line.color, linestyle=style, linewidth=1.5, label=line.name, clip_on=False)
    _draw_axes(axes, x_label, y_label, text * 72 / _DPI)
    _draw_legend(canvas.figure, left / width, text * 72 / _DPI)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def _limits(heights: Sequence[float]) -> tuple[float, float]:
    """From 0, or a round number below the least of ``heights``, to one above the largest; to 0 if all are negative."""
    least, largest = min(heights), max(heights)
    low = -_round_up(-least) if least < 0 else 0.0
    return low, 0.0 if largest <= 0 and low < 0 else _round_up(largest)


def _round_up(value: float) -> float:
    """The next number of the kind 1, 2 or 5 times a power of ten; 1 for 0."""
    if value <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(value))
    return next(nice * power for nice in _NICE if nice * power >= value * 0.999)


def _draw_axes(axes: Any, x_label: str, y_label: str, points: float) -> None:
    low, top = axes.get_ylim()
    heights = [low + part * (top - low) for part in _TICKS]
    font = {"fontfamily": "DejaVu Sans", "fontsize": points}
    axes.set_xticks(_TICKS, [f"{part:.0%}" for part in _TICKS], color=CAPTION_COLOR, **font)
    axes.set_yticks(heights, [f"{height:g}" for height in heights], color=CAPTION_COLOR, **font)
    axes.tick_params(length=0, pad=0.4 * points)
    axes.grid(axis="y", color=_RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set(visible=name == "bottom", color=CAPTION_COLOR, linewidth=0.7)
    axes.set_xlabel(x_label, color=TITLE_COLOR, labelpad=0.5 * points, **font)
    axes.annotate(y_label, (0, 1), (0, 0.7 * points), "axes fraction", "offset points", color=TITLE_COLOR, **font)


def _draw_legend(figure: Any, left: float, points: float) -> None:
    font = {"family": "DejaVu Sans", "size": points}
    legend = figure.legend(
        loc="upper left",
        bbox_to_anchor=(left, 1),
        prop=font,
        labelcolor=TITLE_COLOR,
        frameon=False,
        borderpad=0.2,
        borderaxespad=0,
        handlelength=2.5,
        labelspacing=0.35,
    )
    for label in legend.get_texts():
        label.set_parse_math(False)
