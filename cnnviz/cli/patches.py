"""The sheet of ``patches``: for each channel the patches that excite it most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cnnviz.cli.features import figure
from cnnviz.cli.folderjob import Album
from cnnviz.cli.inputs import Source
from cnnviz.cli.job import Result, read_picture
from cnnviz.cli.options import StoreOptions
from cnnviz.cli.survey import framing, home, survey

if TYPE_CHECKING:
    from PIL.Image import Image

    from cnnviz.features.collection import Aspect
    from cnnviz.features.maps import MapLayer
    from cnnviz.features.peaks import Found, Strongest
    from cnnviz.network import Network

_AT_ONCE = 4_096  # pictures whose peaks are in memory together
_ROWS = 6  # channels shown if none are named


def patch_sheet(
    network: Network, album: Album, layer: str, channels: list[int] | None, top: int, store: StoreOptions, seed: int
) -> Result:
    """Find and draw the patches; ``channels`` None takes those that few pictures excite most."""
    from cnnviz.features.collection import peaks_aspect
    from cnnviz.features.maps import map_layer
    from cnnviz.features.peaks import check_channels

    facts = map_layer(network, layer)
    check_channels(channels or [], facts.channels, layer)
    aspect = peaks_aspect(network, facts, home(store), framing(album.options, network), seed)
    found = survey(album, network, [aspect], store)
    sources = dict(zip(found.keys, found.sources, strict=True))
    strongest = _strongest(aspect, list(sources), channels or list(range(facts.channels)), top)
    shown = channels or strongest.most_selective(_ROWS)
    cut = _Cutter(network, album, facts, sources)
    rows = [[cut(place) for place in strongest[channel]] for channel in shown]
    return Result(
        facts={"layer": layer, "pictures": len(found.sources), "channels": _facts(shown, strongest, sources, cut)},
        image=_sheet(network, layer, facts, shown, strongest, rows),
        target=layer,
    )


def _strongest(aspect: Aspect, keys: Sequence[str], channels: list[int], top: int) -> Strongest:
    """Each content counts once: copies of a picture would fill the row."""
    from cnnviz.features.filling import chunks
    from cnnviz.features.peaks import Peaks, Strongest

    strongest = Strongest(channels, top)
    for some in chunks(keys, _AT_ONCE):
        strongest.offer(some, Peaks.unpack(aspect.store.vectors(some)))
    return strongest


class _Cutter:
    """Cuts patches out of photos at their own resolution; remembers the last photo read."""

    def __init__(self, network: Network, album: Album, layer: MapLayer, sources: dict[str, Source]) -> None:
        self._network, self._album, self._layer, self._sources = network, album, layer, sources
        self.windows: dict[tuple[str, int, int], tuple[int, int, int, int]] = {}

    def __call__(self, place: Found) -> Image:
        from cnnviz.features.patch import cut_patch, patch_window

        picture = read_picture(self._sources[place.picture], self._network, self._album.options)
        height, width = picture.pixels.shape[2:]
        window = patch_window(self._layer.field, place.row, place.column, (height, width))
        self.windows[place.picture, place.row, place.column] = window
        return cut_patch(picture.photo, (height, width), window, side=144)


def _facts(channels: list[int], strongest: Strongest, sources: dict[str, Source], cut: _Cutter) -> list[dict[str, Any]]:
    return [
        {
            "channel": channel,
            "patches": [
                {
                    "file": sources[place.picture].display,
                    "activation": round(place.value, 6),
                    "position": (place.row, place.column),
                    "window": cut.windows[place.picture, place.row, place.column],
                }
                for place in strongest[channel]
            ],
        }
        for channel in channels
    ]


def _sheet(
    network: Network, layer: str, facts: MapLayer, channels: list[int], strongest: Strongest, rows: list[list[Image]]
) -> Image:
    from PIL import Image

    from cnnviz.imaging import grid

    columns = max(len(row) for row in rows)
    blank = Image.new("RGB", (144, 144), "white")
    tiles = [tile for row in rows for tile in [*row, *[blank] * (columns - len(row))]]
    captions = [
        text
        for channel, row in zip(channels, rows, strict=True)
        for text in [*(figure(place.value) for place in strongest[channel]), *[""] * (columns - len(row))]
    ]
    field = facts.field
    sees = f"each sees {field.size[0]}×{field.size[1]} pixels" if field else "each sees the whole picture"
    return grid(
        tiles,
        columns,
        captions,
        row_labels=[f"channel {channel}" for channel in channels],
        title=f"{network.name} {layer}: what excites a channel most; {sees}",
        tile=144,
    )
