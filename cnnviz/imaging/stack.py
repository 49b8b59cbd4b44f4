"""Figures one above the other."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image


def stack(figures: Sequence[Image.Image], gap: int = 0, paper: str = "white") -> Image.Image:
    """Figures in one column, flush left, on white; ``gap`` is the room between them in pixels."""
    height = sum(figure.height for figure in figures) + gap * (len(figures) - 1)
    sheet = Image.new("RGB", (max(figure.width for figure in figures), height), paper)
    top = 0
    for figure in figures:
        sheet.paste(figure, (0, top))
        top += figure.height + gap
    return sheet
