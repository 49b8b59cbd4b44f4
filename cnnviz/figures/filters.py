"""The sheet of ``filters``: a convolution's kernels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PIL import Image

from cnnviz.figures.grid import grid
from cnnviz.imaging.pixels import to_pil_image

if TYPE_CHECKING:
    from cnnviz.features.filters import FilterGrid


def filter_sheet(filters: FilterGrid, title: str, limit: int) -> Image.Image:
    """The kernels: in color, or of a single input channel, all; others in gray, a row for each output channel.

    Args:
        filters: the kernels as tiles in [0, 1].
        title: names the layer; the shape of its weights is added.
        limit: the most output and input channels shown of kernels in gray.
    """
    out, inputs, height, width = filters.shape
    title = f"{title}: {out}×{inputs}×{height}×{width}"
    if filters.color or inputs == 1:
        tiles = [to_pil_image(tile, clamp=True) for tile in filters.tiles]
        columns = math.ceil(math.sqrt(len(tiles)))
        return grid(tiles, columns, title=title, tile=max(8 * max(height, width), min(128, 480 // columns)))
    rows, columns = min(out, limit), min(inputs, limit)
    if (rows, columns) != (out, inputs):
        title += f" ({rows}×{columns} shown)"
    return grid(
        [to_pil_image(filters.tiles[o, i], clamp=True) for o in range(rows) for i in range(columns)],
        columns,
        row_labels=[f"out {o}" for o in range(rows)],
        column_labels=[f"in {i}" if i == 0 else str(i) for i in range(columns)],
        title=title,
        tile=36,
    )
