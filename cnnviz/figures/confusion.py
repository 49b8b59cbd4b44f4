"""The confusion matrix of a classifier as an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cnnviz.figures.text import CAPTION_COLOR, TITLE_COLOR, Typeface

_SIDE = 1_200  # pixels of all cells together, at most, where there are few enough classes
_LARGEST, _SMALLEST = 96, 2  # pixels, a cell
_LEGIBLE = 9  # pixels of a cell from which its class is named
_RULE = "#d0d0d0"
_RIGHT, _WRONG = (
    (0x00, 0x55, 0x8F),
    (0xC2, 0x4D, 0x00),
)  # for all images of a class; blue and orange, as for color-blind
_MARGIN = 24


def confusion_figure(
    counts: NDArray[np.int64], labels: Sequence[str], title: str, *, other: NDArray[np.int64] | None = None
) -> Image.Image:
    """A square for each pair of classes, the darker the larger its share of its row's images; RGB.

    Images of each row are truly of one class, and were taken for the class of the column: blue on the diagonal, where
    that is right, orange elsewhere. Numbers and names stand where there is room.

    Args:
        counts: (N, N), rows by true class, columns by predicted class.
        labels: the N classes' names.
        title: one line above.
        other: (N,), how many images of each class were taken for a class that no image is of; drawn as a last column.
    """
    drawn = counts if other is None else np.concatenate([counts, other[:, None]], axis=1)
    return _Figure(drawn, list(labels), title, other is not None).draw()


@dataclass
class _Figure:
    """The figure's layout. All lengths are in pixels."""

    counts: NDArray[np.int64]
    labels: list[str]
    title: str
    has_other: bool

    def __post_init__(self) -> None:
        rows, columns = self.counts.shape
        self.face = Typeface.default()
        self.cell = max(_SMALLEST, min(_LARGEST, _SIDE // columns))
        self.size = min(18, max(9, self.cell - 1 if self.cell < 20 else self.cell // 3))
        self.gap = max(3, self.cell // 8) if self.has_other else 0
        self.is_named = self.cell >= _LEGIBLE
        names = [*self.labels, *(["other classes"] if self.has_other else [])] if self.is_named else []
        font = self.face.font(self.size)
        self.names = [" ".join(self.face.fit(name, self.size, 220)) for name in names]
        longest = max((font.getlength(name) for name in self.names), default=0)
        self.room = round(longest) + self.size
        self.grid = columns * self.cell + self.gap, rows * self.cell
        self.left = _MARGIN + 28 + self.room
        self.top = _MARGIN + 40

    def draw(self) -> Image.Image:
        """The whole figure: title, rows named at the left, columns below."""
        width = self.left + self.grid[0] + _MARGIN
        title_room = max(width, 520) - 2 * _MARGIN
        height = self.top + self.grid[1] + self.room + 28 + 8 + _MARGIN
        sheet = Image.new("RGB", (max(width, 520), height), "white")
        pen = ImageDraw.Draw(sheet)
        title = " ".join(self.face.fit(self.title, 20, title_room))
        pen.text((_MARGIN, _MARGIN), title, TITLE_COLOR, self.face.font(20), anchor="la")
        self._draw_cells(pen)
        self._draw_names(sheet, pen)
        self._draw_axes(sheet, pen)
        return sheet

    def _corner(self, row: int, column: int) -> tuple[int, int]:
        is_other = self.has_other and column == self.counts.shape[1] - 1
        return self.left + column * self.cell + (self.gap if is_other else 0), self.top + row * self.cell

    def _draw_cells(self, pen: ImageDraw.ImageDraw) -> None:
        totals = self.counts.sum(1)
        font = self.face.font(self._number_size())
        for row, column in np.ndindex(*self.counts.shape):
            count, (x, y) = int(self.counts[row, column]), self._corner(row, column)
            share = count / max(1, int(totals[row]))
            color = _shade(_RIGHT if row == column else _WRONG, share)
            lined = _RULE if self.cell >= _LEGIBLE else None
            pen.rectangle(
                (x, y, x + self.cell, y + self.cell) if lined else (x, y, x + self.cell - 1, y + self.cell - 1),
                fill=color,
                outline=lined,
            )
            if count and self.cell >= 20:
                ink = "white" if share > 0.45 else TITLE_COLOR
                pen.text((x + self.cell // 2, y + self.cell // 2), str(count), ink, font, anchor="mm")
        if self.cell < _LEGIBLE:
            x, y = self._corner(0, 0)
            pen.rectangle((x - 1, y - 1, x + self.grid[0], y + self.grid[1]), outline=_RULE)

    def _number_size(self) -> int:
        digits = len(str(int(self.counts.max(initial=0))))
        return max(7, min(20, self.cell // 3, round(1.5 * self.cell / max(2, digits))))

    def _draw_names(self, sheet: Image.Image, pen: ImageDraw.ImageDraw) -> None:
        font = self.face.font(self.size)
        for row, name in enumerate(self.names[: len(self.labels)]):
            y = self.top + row * self.cell + self.cell // 2
            pen.text((self.left - self.size // 2, y), name, CAPTION_COLOR, font, anchor="rm")
        for column, name in enumerate(self.names):
            x = self._corner(0, column)[0] + self.cell // 2
            _draw_upright(sheet, name, font, (x, self.top + self.grid[1] + self.size // 2), CAPTION_COLOR)

    def _draw_axes(self, sheet: Image.Image, pen: ImageDraw.ImageDraw) -> None:
        font, (width, height) = self.face.font(16), self.grid
        below = self.top + height + self.room + 10
        pen.text((self.left + width // 2, below), "predicted class", TITLE_COLOR, font, anchor="ma")
        length = round(font.getlength("true class"))
        _draw_upright(sheet, "true class", font, (_MARGIN + 10, self.top + (height - length) // 2), TITLE_COLOR)


def _shade(color: tuple[int, int, int], share: float) -> tuple[int, ...]:
    """White for a share of 0, ``color`` for 1; a small share is seen."""
    strength = 0.0 if share <= 0 else 0.12 + 0.88 * share
    return tuple(round(255 + (value - 255) * strength) for value in color)


def _draw_upright(sheet: Image.Image, text: str, font: object, top: tuple[int, int], color: str) -> None:
    """Text that reads upwards, its end at ``top`` and centered about its x."""
    width, height = (round(font.getlength(text)), sum(font.getmetrics()))  # type: ignore[attr-defined]
    if width < 1:
        return
    line = Image.new("L", (width + 2, height), 0)
    ImageDraw.Draw(line).text((1, 0), text, 255, font)  # type: ignore[arg-type]
    turned = line.transpose(Image.Transpose.ROTATE_90)
    sheet.paste(Image.new("RGB", turned.size, color), (top[0] - height // 2, top[1]), turned)
