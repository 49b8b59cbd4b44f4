"""The map of many images as one HTML file that needs nothing else: zoom, drag, hover, search."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cnnviz.features.layout import GridLayout, unit_square

_TEMPLATE = Path(__file__).with_name("map_page.html")
_ATLAS_SIDE = 8_192  # pixels; browsers need not draw larger images


@dataclass(frozen=True)
class MapPoint:
    """One image on the page: its file's name, its class, a further line shown on hovering, and its corner's color.

    A corner marks a mistake; without one the color is empty.
    """

    file: str
    kind: str = ""
    remark: str = ""
    mark: str = ""


def map_page(
    thumbnails: Sequence[Image.Image],
    layout: GridLayout,
    points: Any,
    map_points: Sequence[MapPoint],
    colors: Mapping[str, str],
    *,
    title: str,
) -> str:
    """The page's HTML.

    Args:
        thumbnails: one for each image; they go into the page as one JPEG.
        layout: the cell of each, none over another.
        points: (N, 2), their coordinates as projected, which the page can switch to.
        map_points: name, class and remark of each.
        colors: of each class, in the order of the legend; empty if there are none.
        title: shown above and as the window's title.
    """
    atlas, columns, tile, sizes = _atlas(thumbnails)
    kinds = list(colors)
    exact = unit_square(np.asarray(points))
    data = {
        "atlas": f"data:image/jpeg;base64,{base64.b64encode(atlas).decode('ascii')}",
        "columns": columns,
        "tile": tile,
        "sheet": [layout.columns, layout.rows],
        "kinds": [[kind, colors[kind]] for kind in kinds],
        "items": [
            {
                "cell": cell,
                "point": [round(x, 5), round(1 - y, 5)],
                "size": size,
                "file": point.file,
                "kind": kinds.index(point.kind) if point.kind in colors else -1,
                "remark": point.remark,
                **({"mark": point.mark} if point.mark else {}),
            }
            for cell, (x, y), size, point in zip(layout.cells.tolist(), exact.tolist(), sizes, map_points, strict=True)
        ],
    }
    text = json.dumps(data, ensure_ascii=True).replace("<", "\\u003c")  # no file name can end the script early
    template = _TEMPLATE.read_text(encoding="utf-8")
    return template.replace("@TITLE@", escape(title)).replace("@DATA@", text)


def _atlas(thumbnails: Sequence[Image.Image]) -> tuple[bytes, int, int, list[tuple[int, int]]]:
    """All thumbnails in one JPEG: its bytes, how many are in a row, the side of each one's square, and their sizes.

    Each thumbnail is read once and not kept.
    """
    columns = math.ceil(math.sqrt(len(thumbnails)))
    tile = min(96, _ATLAS_SIDE // columns)
    atlas = Image.new("RGB", (columns * tile, math.ceil(len(thumbnails) / columns) * tile), "white")
    sizes = []
    for index, thumb in enumerate(thumbnails):
        row, column = divmod(index, columns)
        sizes.append(_fitted(thumb, tile))
        small = thumb.resize(sizes[-1], Image.Resampling.LANCZOS)
        atlas.paste(small, (column * tile, row * tile))
    buffer = BytesIO()
    atlas.save(buffer, "JPEG", quality=85)
    return buffer.getvalue(), columns, tile, sizes


def _fitted(thumb: Image.Image, tile: int) -> tuple[int, int]:
    scale = tile / max(thumb.size)
    return max(1, round(thumb.width * scale)), max(1, round(thumb.height * scale))
