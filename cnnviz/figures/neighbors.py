"""The sheet of ``neighbors``: an image and those nearest to it, a row for each space they are compared in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from cnnviz.figures.captions import three_digits
from cnnviz.figures.grid import grid

_TILE = 144  # pixels


@dataclass(frozen=True)
class Neighbor:
    """An image, its file's name, and its distance from the image asked for."""

    image: Image.Image
    name: str
    distance: float


def neighbor_sheet(query: Image.Image, name: str, spaces: Mapping[str, Sequence[Neighbor]], title: str) -> Image.Image:
    """One row for each space: the image asked for, and its neighbors with their distances.

    Args:
        query: the image asked for, of any size.
        name: its file's name.
        spaces: the neighbors by the name of the space, nearest first, as many in each.
        title: one line above.
    """
    tiles, captions = [], []
    for neighbors in spaces.values():
        tiles += [query, *(neighbor.image for neighbor in neighbors)]
        captions += [name, *(f"{three_digits(round(near.distance, 3))}  {near.name}" for near in neighbors)]
    return grid(tiles, len(tiles) // len(spaces), captions, row_labels=list(spaces), title=title, tile=_TILE)
