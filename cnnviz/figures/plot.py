"""A small line plot, drawn without matplotlib.pyplot, whose import takes longer than many a map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, ImageDraw

from cnnviz.errors import UsageError
from cnnviz.figures.text import Typeface

_PAPER, _INK, _SOFT_INK, _RULE = "white", "#1a1a1a", "#444444", "#dddddd"
_FINE = 2  # drawn so many times larger, and reduced for smooth lines
_DASH, _GAP = 7, 5  # pixels
_NICE = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class Series:
    """One line of a plot: its points, its name in the legend, its colour, and whether it is dashed."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    color: str
    dashed: bool = False


def line_plot(series: Sequence[Series], x_label: str, y_label: str, size: tuple[int, int] = (480, 360)) -> Image.Image:
    """Lines over x in [0, 1] and y from 0 up to a round number, with a legend above; RGB, of ``size`` (width, height).

    Raises UsageError if there are no lines, a line's xs and ys differ in number, or a y is negative or not finite.
    """
    if not series or any(len(line.xs) != len(line.ys) or not line.xs for line in series):
        raise UsageError("A plot needs lines, each with as many ys as xs.")
    heights = [y for line in series for y in line.ys]
    if not all(math.isfinite(y) and y >= 0 for y in heights):
        raise UsageError("A plot's ys must be finite and at least 0.")
    return _Plot(series, x_label, y_label, size, _round_up(max(heights))).draw()


def _round_up(value: float) -> float:
    """The next number of the kind 1, 2 or 5 times a power of ten; 1 for 0."""
    if value <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(value))
    return next(nice * power for nice in _NICE if nice * power >= value * 0.999)


@dataclass
class _Plot:
    """Where everything goes; lengths in pixels of the enlarged drawing."""

    series: Sequence[Series]
    x_label: str
    y_label: str
    size: tuple[int, int]
    top: float

    def draw(self) -> Image.Image:
        width, height = (length * _FINE for length in self.size)
        self.type = max(10, self.size[1] // 28) * _FINE
        face = Typeface()
        self.face, self.font = face, face.font(self.type)
        legend = round(1.5 * self.type) * len(self.series)
        self.box = (4 * self.type, legend + 2 * self.type, width - 2 * self.type, height - 3 * self.type)
        sheet = Image.new("RGB", (width, height), _PAPER)
        pen = ImageDraw.Draw(sheet)
        self._draw_axes(pen)
        for row, line in enumerate(self.series):
            self._draw_line(pen, [self._place(x, y) for x, y in zip(line.xs, line.ys, strict=True)], line)
            self._draw_name(pen, row, line)
        return sheet.resize(self.size, Image.Resampling.LANCZOS)

    def _place(self, x: float, y: float) -> tuple[float, float]:
        left, top, right, bottom = self.box
        return left + x * (right - left), bottom - y / self.top * (bottom - top)

    def _draw_axes(self, pen: ImageDraw.ImageDraw) -> None:
        left, top, right, bottom = self.box
        for part in (0.0, 0.25, 0.5, 0.75, 1.0):
            (x, _), (_, y) = self._place(part, 0), self._place(0, part * self.top)
            pen.line([(left, y), (right, y)], _RULE if part else _SOFT_INK, _FINE)
            pen.text((left - self.type / 2, y), f"{part * self.top:g}", _SOFT_INK, self.font, anchor="rm")
            pen.text((x, bottom + self.type / 2), f"{part:.0%}", _SOFT_INK, self.font, anchor="ma")
        middle, low = (left + right) / 2, bottom + 1.8 * self.type
        pen.text((middle, low), self.face.to_supported(self.x_label), _INK, self.font, anchor="ma")
        pen.text((left, top - self.type), self.face.to_supported(self.y_label), _INK, self.font, anchor="lb")

    def _draw_name(self, pen: ImageDraw.ImageDraw, row: int, line: Series) -> None:
        left, _, right, _ = self.box
        y, long = (0.6 + 1.5 * row) * self.type, 2.5 * self.type
        self._draw_line(pen, [(left, y), (left + long, y)], line)
        (name,) = self.face.fit(line.name, self.type, right - left - 1.5 * long) or [""]
        pen.text((left + 1.2 * long, y), name, _INK, self.font, anchor="lm")

    def _draw_line(self, pen: ImageDraw.ImageDraw, points: list[tuple[float, float]], line: Series) -> None:
        width = 2 * _FINE
        if not line.dashed:
            pen.line(points, line.color, width, joint="curve")
            return
        for dash in _dashes(points, _DASH * _FINE, _GAP * _FINE):
            pen.line(dash, line.color, width)


def _dashes(points: list[tuple[float, float]], dash: float, gap: float) -> list[list[tuple[float, float]]]:
    """A broken line cut into dashes, the rhythm kept around its corners."""
    found, travelled = [], 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        length = math.hypot(x1 - x0, y1 - y0)
        first = math.floor(travelled / (dash + gap))
        for number in range(first, math.floor((travelled + length) / (dash + gap)) + 1):
            start = max(number * (dash + gap) - travelled, 0.0)
            end = min(number * (dash + gap) + dash - travelled, length)
            if start < end:
                found.append([(x0 + (x1 - x0) * at / length, y0 + (y1 - y0) * at / length) for at in (start, end)])
        travelled += length
    return found
