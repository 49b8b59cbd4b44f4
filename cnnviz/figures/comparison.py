"""The sheet of ``compare``: a photo and the maps of several methods and networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from cnnviz.figures.grid import panel, stack
from cnnviz.figures.maps import MapStyle

if TYPE_CHECKING:
    from torch import Tensor

_ONE_ROW = 4  # tiles that stand side by side
_TILE = 260  # pixels, the height of a map


@dataclass(frozen=True)
class NetworkMaps:
    """What one network's row shows.

    Attributes:
        photo: as it is framed for the network.
        title: what the network says.
        maps: of each method its caption, its map (1, 1, H, W) and how that is drawn.
        photo_caption: under the photo.
    """

    photo: Image.Image
    title: str
    maps: Sequence[tuple[str, Tensor, MapStyle]]
    photo_caption: str = "photo"


def comparison_sheet(networks: Sequence[NetworkMaps]) -> Image.Image:
    """A row for each network; the maps of a single one in as many rows as make the sheet nearly square."""
    columns = _columns(1 + len(networks[0].maps)) if len(networks) == 1 else None
    return stack([_row(network, columns) for network in networks])


def _columns(count: int) -> int | None:
    return None if count <= _ONE_ROW else math.ceil(math.sqrt(count))


def _row(network: NetworkMaps, columns: int | None) -> Image.Image:
    tiles, captions = [network.photo], [network.photo_caption]
    for caption, attribution, style in network.maps:
        tiles.append(style.draw(attribution, network.photo))
        captions.append(caption + (" (smoothed)" if style.blur else ""))
    return panel(tiles, captions, network.title, tile_height=_TILE, columns=columns)
