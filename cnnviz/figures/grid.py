"""Images arranged in one: side by side with captions, in a grid with labels, or one above the other, on white."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

from cnnviz.errors import UsageError
from cnnviz.figures.text import CAPTION_COLOR, TITLE_COLOR, Typeface, write

_LEAST, _MOST = 256, 640  # pixels, the height of a panel's tiles
_WIDEST = 1280  # pixels, of tiles stacked because they are wide
_STRIP = 2.6  # width over height from which tiles are stacked
_NARROWEST = 160  # pixels of room for a caption, however narrow its tile
_CRISP = 3  # tiles enlarged more than this keep their pixels as squares


def panel(
    tiles: Sequence[Image.Image],
    captions: Sequence[str] | None = None,
    title: str | None = None,
    tile_height: int | None = None,
    columns: int | None = None,
) -> Image.Image:
    """Images of one height side by side, a caption under each and a title above, on white.

    Wide strips are stacked in one column instead.

    Args:
        tiles: At least one image, of any size and mode.
        captions: One for each tile, wrapped to two lines and shortened to fit; empty ones leave no gap.
        title: One line, shortened to fit.
        tile_height: Height of the tiles in pixels. None takes the largest image's, but at least 256 and at most 640.
        columns: How many tiles in a row; None takes all.

    Raises UsageError if there are no tiles, or not as many captions.
    """
    _check_count(tiles, captions)
    if tile_height is None:
        tile_height = min(max(_LEAST, *(tile.height for tile in tiles)), _MOST)
    if len(tiles) > 1 and min(tile.width / tile.height for tile in tiles) > _STRIP:
        width = min(max(tile.width for tile in tiles), _WIDEST)
        shown = [_scaled(tile, max(width, _LEAST) / tile.width) for tile in tiles]
        columns = 1
    else:
        shown = [_scaled(tile, tile_height / tile.height) for tile in tiles]
        columns = columns or len(tiles)
    return _Sheet(_rows(shown, columns), _rows(captions or [], columns), title).draw()


def grid(
    tiles: Sequence[Image.Image],
    columns: int | None = None,
    captions: Sequence[str] | None = None,
    *,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    title: str | None = None,
    tile: int = 128,
) -> Image.Image:
    """Images in rows and columns, each fitted into a square, with captions and labels, on white.

    Args:
        tiles: At least one image, row by row.
        columns: How many in a row; None takes as many as there are column labels, or else the number
            that makes the grid nearly square.
        captions: One under each tile, in one line.
        row_labels: One at the left of each row.
        column_labels: One above each column.
        title: One line, shortened to fit.
        tile: Side of the square that each image is fitted into, in pixels.

    Raises UsageError if there are no tiles, or the numbers of captions or labels do not match.
    """
    _check_count(tiles, captions)
    columns = columns or len(column_labels or []) or math.ceil(math.sqrt(len(tiles)))
    if columns < 1 or tile < 1:
        raise UsageError("A grid needs at least one column, and tiles of at least one pixel.")
    rows = _rows([_scaled(image, tile / max(image.size)) for image in tiles], columns)
    for labels, count, name in ((row_labels, len(rows), "row"), (column_labels, columns, "column")):
        if labels is not None and len(labels) != count:
            raise UsageError(f"A grid of {count} {name}s cannot have {len(labels)} {name} labels.")
    sheet = _Sheet(rows, _rows(captions or [], columns), title, row_labels or [], column_labels or [])
    sheet.cell, sheet.lines, sheet.gap = tile, 1, max(4, tile // 16)
    return sheet.draw()


def stack(images: Sequence[Image.Image]) -> Image.Image:
    """Images in one column, flush left, on white."""
    size = max(image.width for image in images), sum(image.height for image in images)
    sheet = Image.new("RGB", size, "white")
    top = 0
    for image in images:
        sheet.paste(image, (0, top))
        top += image.height
    return sheet


def _check_count(tiles: Sequence[Image.Image], captions: Sequence[str] | None) -> None:
    if not tiles:
        raise UsageError("A figure needs at least one image.")
    if captions is not None and len(captions) != len(tiles):
        raise UsageError(f"A figure of {len(tiles)} images cannot have {len(captions)} captions.")


def _rows(items: Sequence, columns: int) -> list[list]:  # type: ignore[type-arg]
    return [list(items[start : start + columns]) for start in range(0, len(items), columns)]


def _scaled(image: Image.Image, factor: float) -> Image.Image:
    """The image as RGB, scaled smoothly; tiny ones keep their pixels visible as squares."""
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    method = Image.Resampling.LANCZOS if factor < _CRISP else Image.Resampling.NEAREST
    colored = image if image.mode == "RGB" else image.convert("RGB")
    return colored if size == image.size else colored.resize(size, method)


@dataclass
class _Sheet:
    """The layout of a figure. All lengths are in pixels; text sizes follow the height of the tiles."""

    rows: list[list[Image.Image]]
    captions: list[list[str]]
    title: str | None
    row_labels: Sequence[str] = ()
    column_labels: Sequence[str] = ()
    cell: int = 0  # the width of every column; 0 takes the width of each one's tiles
    lines: int = 2  # of a caption, at most
    gap: int = 0  # between tiles; 0 takes a fraction of the text size
    face: Typeface = field(init=False)

    def draw(self) -> Image.Image:
        self._measure()
        sheet = Image.new("RGB", self._place(), "white")
        self._draw_labels(sheet)
        for row, tiles in enumerate(self.rows):
            for column, tile in enumerate(tiles):
                left = self.lefts[column] + (self.widths[column] - tile.width) // 2
                sheet.paste(tile, (left, self.tops[row] + (self.heights[row] - tile.height) // 2))
                self._draw_caption(sheet, row, column)
        return sheet

    def _measure(self) -> None:
        """Set the text size, and the sizes of columns and rows."""
        self.face = Typeface.default()
        least = 1 if self.cell else _NARROWEST
        columns = max(len(tiles) for tiles in self.rows)
        self.widths = [
            self.cell or max(least, *(tiles[column].width for tiles in self.rows if column < len(tiles)))
            for column in range(columns)
        ]
        self.heights = [max(tile.height for tile in tiles) for tiles in self.rows]
        room = max(*self.heights, min(self.widths) // 2)
        self.type_size = min(24, max(12, round(room / 18)))
        self.gap = self.gap or max(12, round(self.type_size * 1.2))
        self.margin = max(self.gap, round(self.type_size * 1.5))
        self.fitted = [
            [self.face.fit(text, self.type_size, self.widths[column], self.lines) for column, text in enumerate(row)]
            for row in self.captions
        ]

    def _place(self) -> tuple[int, int]:
        """Set the corners of all columns and rows; returns the size of the figure."""
        size, line = self.type_size, self._leading
        font = self.face.font(size)
        longest = max((font.getlength(self.face.to_supported(label)) for label in self.row_labels), default=0)
        self.label_width = min(math.ceil(longest), 10 * size)
        left = self.margin + (self.label_width + self.gap if self.row_labels else 0)
        self.lefts = []
        for width in self.widths:
            self.lefts.append(left)
            left += width + self.gap
        top = self.margin + (round(2.6 * size) if self.title else 0)
        self.column_label_top = top
        top += round(1.5 * line) if self.column_labels else 0
        self.tops = []
        for row, height in enumerate(self.heights):
            self.tops.append(top)
            lines = max((len(text) for text in self.fitted[row]), default=0) if self.fitted else 0
            top += height + (round(0.5 * size) + lines * line if lines else 0) + self.gap
        return left - self.gap + self.margin, top - self.gap + self.margin

    @property
    def _leading(self) -> int:
        return round(1.3 * self.type_size)

    def _draw_labels(self, sheet: Image.Image) -> None:
        size, font = self.type_size, self.face.font(self.type_size)
        if self.title:
            large, room = round(1.35 * size), self.lefts[-1] + self.widths[-1] - self.margin
            text = " ".join(self.face.fit(self.title, large, room))
            write(sheet, (self.margin, self.margin), text, TITLE_COLOR, self.face.font(large))
        for label, left, width in zip(self.column_labels, self.lefts, self.widths, strict=False):
            text = " ".join(self.face.fit(label, size, width))
            write(sheet, (left + width / 2, self.column_label_top), text, CAPTION_COLOR, font, anchor="ma")
        for label, top, height in zip(self.row_labels, self.tops, self.heights, strict=False):
            text = " ".join(self.face.fit(label, size, self.label_width + 1))
            write(sheet, (self.margin + self.label_width, top + height / 2), text, CAPTION_COLOR, font, anchor="rm")

    def _draw_caption(self, sheet: Image.Image, row: int, column: int) -> None:
        if not self.fitted:
            return
        font = self.face.font(self.type_size)
        top = self.tops[row] + self.heights[row] + round(0.5 * self.type_size)
        for line, text in enumerate(self.fitted[row][column]):
            middle = self.lefts[column] + self.widths[column] / 2
            write(sheet, (middle, top + line * self._leading), text, CAPTION_COLOR, font, anchor="ma")
