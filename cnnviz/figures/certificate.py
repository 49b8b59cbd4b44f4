"""The figure of ``explain``: the photo, the map that is certified if one is, and what it was measured by."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from cnnviz.figures.grid import panel
from cnnviz.figures.intervals import Row, interval_plot
from cnnviz.figures.text import CAPTION_COLOR, TITLE_COLOR, Typeface

_TILE = 360  # pixels, the height of the photo
_OWN, _BLIND = "#1f77b4", "#999999"
_MARGIN, _TEXT = 24, 18


def certificate_figure(
    photo: Image.Image,
    photo_caption: str,
    chosen: tuple[Image.Image, str] | None,
    scores: Sequence[tuple[str, float, bool]],
    lines: Sequence[str],
) -> Image.Image:
    """A panel with sentences below.

    Args:
        photo: what was explained.
        photo_caption: under it.
        chosen: the certified map over the photo, and its name; None where no map is certified.
        scores: each map's name and score, and whether it is the chosen map, not one that knows nothing.
        lines: the title, then the sentences.
    """
    rows = [Row(name, score, color=_OWN if own else _BLIND) for name, score, own in scores]
    plot = interval_plot(rows, "insertion − deletion area", (round(1.35 * _TILE), _TILE))
    tiles = [(photo, photo_caption), *([chosen] if chosen else []), (plot, "measured")]
    sheet = panel([tile for tile, _ in tiles], [text for _, text in tiles], tile_height=_TILE)
    return _with_lines(sheet, lines)


def _with_lines(sheet: Image.Image, lines: Sequence[str]) -> Image.Image:
    """Sentences below a sheet, broken to its width."""
    face, width = Typeface.default(), sheet.width - 2 * _MARGIN
    broken = [part for line in lines for part in face.fit(line, _TEXT, width, 4)]
    leading = round(1.4 * _TEXT)
    whole = Image.new("RGB", (sheet.width, sheet.height + leading * len(broken) + _MARGIN), "white")
    whole.paste(sheet, (0, 0))
    pen = ImageDraw.Draw(whole)
    for number, text in enumerate(broken):
        color = TITLE_COLOR if number == 0 else CAPTION_COLOR
        pen.text((_MARGIN, sheet.height + leading * number), text, color, face.font(_TEXT), anchor="la")
    return whole
