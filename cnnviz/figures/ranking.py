"""The sheet of ``compare --rank``: a plot of all maps for each metric."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image

from cnnviz.figures.grid import panel
from cnnviz.figures.intervals import Row, interval_plot


def ranking_sheet(plots: Sequence[tuple[str, Sequence[Row]]], title: str) -> Image.Image:
    """Plots of the same maps by several metrics, each with what it shows, in the same order.

    An interval that is infinite, as of a single image, is not drawn.
    """
    height = max(300, 32 * (len(plots[0][1]) + 2))
    drawn = [interval_plot([_finite(row) for row in rows], label, (560, height)) for label, rows in plots]
    columns = min(len(drawn), 3)
    return panel(drawn, title=title, tile_height=height, columns=columns if len(drawn) > columns else None)


def _finite(row: Row) -> Row:
    if row.low is not None and row.high is not None and math.isfinite(row.low) and math.isfinite(row.high):
        return row
    return Row(row.name, row.value, color=row.color)
