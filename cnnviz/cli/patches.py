"""The sheet of ``patches``: for each channel the patches that excite it most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnviz.cli.options import StoreOptions
from cnnviz.pipeline.collection_job import ImageCollection
from cnnviz.pipeline.feature_indexing import index_features
from cnnviz.pipeline.feature_spec import FeatureSpec
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.result import LoadedImage, Result

if TYPE_CHECKING:
    from PIL.Image import Image

    from cnnviz.features.feature_index import StoredFeature
    from cnnviz.features.maps import MapLayer
    from cnnviz.features.top_activations import Activation, TopActivations
    from cnnviz.network.network import Network

_AT_ONCE = 4_096  # pictures whose peaks are in memory together
_ROWS = 6  # channels shown if none are named
_PERCENTILE = 99.5  # of a gradient's magnitudes, at which its colours are full


@dataclass(frozen=True)
class Patch:
    """One patch as it is shown and told: where it is strong, in which file, what it sees, and its gradient."""

    place: Activation
    source: ImageSource
    window: tuple[int, int, int, int]
    image: Image
    guided: Image | None


def top_patches(
    network: Network,
    album: ImageCollection,
    layer: str,
    channels: list[int] | None,
    top: int,
    guided: bool,
    store: StoreOptions,
    seed: int,
) -> Result:
    """Find and draw the patches; ``channels`` None takes those that few pictures excite most."""
    from cnnviz.features.maps import map_layer
    from cnnviz.features.top_activations import check_channels
    from cnnviz.figures.patches import PatchTile, patch_sheet

    maps = map_layer(network, layer)
    check_channels(channels or [], maps.channels, layer)
    found = index_features(album, network, [FeatureSpec("peaks", layer)], store, seed)
    sources = dict(zip(found.keys, found.sources, strict=True))
    strongest = _strongest(found.features[0], list(sources), channels or list(range(maps.channels)), top)
    cutter = _Cutter(network, album, maps, guided)
    rows = {
        channel: [cutter.cut(channel, place, sources[place.image]) for place in strongest[channel]]
        for channel in channels or strongest.most_selective(_ROWS)
    }
    tiles = {
        channel: [PatchTile(patch.image, patch.place.value, patch.guided) for patch in row]
        for channel, row in rows.items()
    }
    return Result(
        metadata={"layer": layer, "pictures": len(found.sources), "channels": _facts(rows)},
        image=patch_sheet(tiles, _title(network, layer, maps)),
        target=layer,
    )


def _strongest(feature: StoredFeature, keys: Sequence[str], channels: list[int], top: int) -> TopActivations:
    """Each content counts once: copies of a picture would fill the row."""
    from cnnviz.features.batching import chunks
    from cnnviz.features.top_activations import ChannelMaxima, TopActivations

    strongest = TopActivations(channels, top)
    for some in chunks(keys, _AT_ONCE):
        strongest.update(some, ChannelMaxima.unpack(feature.store.vectors(some)))
    return strongest


@dataclass(frozen=True)
class _Cutter:
    """Cuts patches out of photos at their own resolution, and out of their gradients."""

    network: Network
    album: ImageCollection
    layer: MapLayer
    guided: bool

    def cut(self, channel: int, place: Activation, source: ImageSource) -> Patch:
        from cnnviz.features.maps import patch_window
        from cnnviz.figures.patches import crop_window

        picture = read_image(source, self.network, self.album.config)
        height, width = picture.pixels.shape[2:]
        window = patch_window(self.layer.field, place.row, place.column, (height, width))
        image = crop_window(picture.photo, (height, width), window)
        gradient = None
        if self.guided:
            gradient = crop_window(self._gradient(picture, channel, place, window), (height, width), window)
        return Patch(place, source, window, image, gradient)

    def _gradient(
        self, picture: LoadedImage, channel: int, place: Activation, window: tuple[int, int, int, int]
    ) -> Image:
        """What of the picture raises the activation, on mid-grey; its colours are full within the window."""
        from cnnviz.attribution.guided_backprop import rectified_gradient
        from cnnviz.figures.guided import gradient_in_window

        found = rectified_gradient(
            self.network,
            picture.pixels,
            lambda maps: maps[0, channel, place.row, place.column],
            "guided",
            self.layer.name,
        )[0]
        return gradient_in_window(found, window, _PERCENTILE)


def _facts(rows: dict[int, list[Patch]]) -> list[dict[str, Any]]:
    return [
        {
            "channel": channel,
            "patches": [
                {
                    "file": patch.source.display,
                    "activation": round(patch.place.value, 6),
                    "position": (patch.place.row, patch.place.column),
                    "window": patch.window,
                }
                for patch in row
            ],
        }
        for channel, row in rows.items()
    ]


def _title(network: Network, layer: str, maps: MapLayer) -> str:
    field = maps.field
    sees = f"each sees {field.size[0]}×{field.size[1]} pixels" if field else "each sees the whole picture"
    return f"{network.name} {layer}: what excites a channel most; {sees}"
