"""The map of many images as one image: a thumbnail in each one's cell, framed in its class's color."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

from cnnviz.features.layout import GridLayout
from cnnviz.figures.text import CAPTION_COLOR, TITLE_COLOR, Typeface

_AREA = 1_500 * 1_500  # pixels of the map while thumbnails are large enough to show something
_MARKED = "A corner is a mistake, in the color of the class that the network predicts (dark: one without a color)."
_LEAST, _MOST = 18, 128  # pixels, a thumbnail's cell


def map_figure(
    thumbnails: Sequence[Image.Image],
    layout: GridLayout,
    colors: Sequence[str] | None = None,
    *,
    marks: Sequence[str] | None = None,
    legend: Mapping[str, str] | None = None,
    title: str = "",
) -> Image.Image:
    """Thumbnails in the cells of a layout, on white.

    Args:
        thumbnails: one for each cell.
        layout: the cell of each.
        colors: of each one's frame; None draws no frames.
        marks: the color of each one's corner, which marks a mistake; empty for those without.
        legend: class names and their colors, shown below.
        title: one line above.
    """
    cell = round(math.sqrt(_AREA / (layout.columns * layout.rows)))
    cell = min(max(cell, _LEAST), _MOST)
    margin = 24
    width, height = max(layout.columns * cell, 560), layout.rows * cell
    face = Typeface.default()
    rows = _legend_rows(face, legend or {}, width)
    marked = any(marks or ())
    below = len(rows) * 26 + 8 + (26 if marked else 0) if rows else 0
    top = margin + (44 if title else 0)
    size = (width + 2 * margin, top + height + margin + below)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    if title:
        pen.text((margin, margin), " ".join(face.fit(title, 22, width)), TITLE_COLOR, face.font(22), anchor="la")
    left = margin + (width - layout.columns * cell) // 2
    for index, (thumb, (column, row)) in enumerate(zip(thumbnails, layout.cells.tolist(), strict=True)):
        box = (left + column * cell, top + row * cell)
        corner = _paste(sheet, pen, thumb, box, cell, colors[index] if colors else None)
        if marks and marks[index]:
            _draw_mark(pen, corner, max(7, cell // 4), marks[index])
    _draw_legend(pen, face, rows, (margin, top + height + 20))
    if marked and rows:
        y = top + height + 20 + len(rows) * 26
        text = " ".join(face.fit(_MARKED, 15, width - 22))
        _draw_mark(pen, (margin + 15, y), 15, CAPTION_COLOR)
        pen.text((margin + 22, y + 8), text, CAPTION_COLOR, face.font(15), anchor="lm")
    return sheet


def _paste(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    thumb: Image.Image,
    corner: tuple[int, int],
    cell: int,
    color: str | None,
) -> tuple[int, int]:
    """Draw a thumbnail in its cell, framed; its upper right corner."""
    frame = max(2, cell // 20) if color else 0
    room = cell - 2 * frame - max(1, cell // 24)
    scale = room / max(thumb.size)
    size = (max(1, round(thumb.width * scale)), max(1, round(thumb.height * scale)))
    x, y = corner[0] + (cell - size[0]) // 2, corner[1] + (cell - size[1]) // 2
    if color:
        pen.rectangle((x - frame, y - frame, x + size[0] + frame - 1, y + size[1] + frame - 1), fill=color)
    sheet.paste(thumb.resize(size, Image.Resampling.LANCZOS), (x, y))
    return x + size[0], y


def _draw_mark(pen: ImageDraw.ImageDraw, corner: tuple[int, int], side: int, color: str) -> None:
    """A triangle in an upper right corner, set off by white."""
    (x, y), edge = corner, max(1, side // 8)
    for size, ink in ((side + 2 * edge, "white"), (side, color)):
        pen.polygon([(x - size, y), (x - 1, y), (x - 1, y + size)], fill=ink)


def _legend_rows(face: Typeface, legend: Mapping[str, str], width: int) -> list[list[tuple[int, str, str]]]:
    """The legend broken into rows of (left, text, color)."""
    rows: list[list[tuple[int, str, str]]] = []
    left = width
    for name, color in legend.items():
        text = " ".join(face.fit(name, 15, 240))
        needed = 26 + math.ceil(face.font(15).getlength(text)) + 22
        if left + needed > width:
            rows.append([])
            left = 0
        rows[-1].append((left, text, color))
        left += needed
    return rows


def _draw_legend(
    pen: ImageDraw.ImageDraw, face: Typeface, rows: list[list[tuple[int, str, str]]], corner: tuple[int, int]
) -> None:
    for line, row in enumerate(rows):
        y = corner[1] + line * 26
        for left, text, color in row:
            x = corner[0] + left
            pen.rectangle((x, y, x + 15, y + 15), fill=color)
            pen.text((x + 22, y + 8), text, CAPTION_COLOR, face.font(15), anchor="lm")
