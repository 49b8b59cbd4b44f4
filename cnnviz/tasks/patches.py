"""The patches of many images that excite channels of a layer most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cnnviz.pipeline.config import StoreConfig
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.settings import setting
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.layers import channel_numbers, channels_setting, layer_setting

if TYPE_CHECKING:
    from PIL.Image import Image

    from cnnviz.features.feature_index import StoredFeature
    from cnnviz.features.maps import MapLayer
    from cnnviz.features.top_activations import Activation, TopActivations
    from cnnviz.network.network import Network
    from cnnviz.pipeline.collection_job import ImageCollection
    from cnnviz.pipeline.inputs import ImageSource

_BATCH = 4_096
"""Images whose maxima are in memory together."""

_CHANNELS = 6
"""How many channels are shown if none are named."""

_PERCENTILE = 99.5
"""Percentile of a gradient's magnitudes above which they are clipped."""


@dataclass(frozen=True)
class Patches(TaskDefaults):
    """A sheet with a row for each channel: its largest activations in a collection, one from each image."""

    purpose = "features"
    workload = "forward"

    layer: str | None = layer_setting("A layer whose output is a map.", "one half way down")
    channel: tuple[str, ...] | None = channels_setting()
    top: int = setting(9, "Patches for each channel.", min=1, names=("--top", "-k"))
    guided: bool = setting(False, "Under each row what in the patches excites it (guided backpropagation).")
    store: StoreConfig = field(default_factory=StoreConfig)
    seed: int = 0

    @property
    def channels(self) -> list[int]:
        """The chosen channels; empty for those that few images excite most. UsageError for what is no channel."""
        return channel_numbers(self.channel)

    def run(self, network: Network, images: ImageCollection) -> Result:
        from cnnviz.features.maps import map_layer
        from cnnviz.features.top_activations import check_channels
        from cnnviz.network.default_layers import middle_layer
        from cnnviz.pipeline.feature_indexing import index_features
        from cnnviz.pipeline.feature_spec import FeatureSpec

        name, chosen = self.layer or middle_layer(network), self.channels
        layer = map_layer(network, name)
        check_channels(chosen, layer.channels, name)
        indexed = index_features(images, network, [FeatureSpec("peaks", name)], self.store, self.seed)
        sources = dict(zip(indexed.keys, indexed.sources, strict=True))
        maxima = _top_activations(indexed.features[0], list(sources), chosen or range(layer.channels), self.top)
        extractor = PatchExtractor(network, images, layer, self.guided)
        rows = {
            channel: [
                extractor.extract(channel, activation, sources[activation.image]) for activation in maxima[channel]
            ]
            for channel in chosen or maxima.most_selective(_CHANNELS)
        }
        metadata = {"layer": name, "pictures": len(indexed.sources), "channels": _metadata(rows)}
        return Result(metadata, _sheet(rows, _title(network, name, layer)), target=name)


def _top_activations(feature: StoredFeature, keys: Sequence[str], channels: Sequence[int], top: int) -> TopActivations:
    """The largest activations among the images with these keys; copies of an image have one key and count once."""
    from cnnviz.features.batching import chunks
    from cnnviz.features.top_activations import ChannelMaxima, TopActivations

    found = TopActivations(channels, top)
    for some in chunks(keys, _BATCH):
        found.update(some, ChannelMaxima.unpack(feature.store.vectors(some)))
    return found


@dataclass(frozen=True)
class Patch:
    """A patch: the activation it causes, its file, its window in the network's input, and how it looks.

    ``gradient`` is the gradient image of the activation in the same window, if it is shown.
    """

    activation: Activation
    source: ImageSource
    window: tuple[int, int, int, int]
    image: Image
    gradient: Image | None


@dataclass(frozen=True)
class PatchExtractor:
    """Cuts patches out of photos at their own resolution, and out of gradient images if those are shown."""

    network: Network
    images: ImageCollection
    layer: MapLayer
    guided: bool

    def extract(self, channel: int, activation: Activation, source: ImageSource) -> Patch:
        """The patch in the receptive field of an activation of ``channel``."""
        from cnnviz.features.maps import patch_window
        from cnnviz.figures.patches import crop_window

        image = read_image(source, self.network, self.images.config)
        height, width = image.pixels.shape[2:]
        window = patch_window(self.layer.field, activation.row, activation.column, (height, width))
        patch = crop_window(image.photo, (height, width), window)
        gradient = None
        if self.guided:
            gradient = crop_window(self._gradient(image, channel, activation, window), (height, width), window)
        return Patch(activation, source, window, patch, gradient)

    def _gradient(
        self, image: LoadedImage, channel: int, activation: Activation, window: tuple[int, int, int, int]
    ) -> Image:
        """The gradient image of the activation, clipped at a percentile within the window."""
        from cnnviz.attribution.guided_backprop import rectified_gradient
        from cnnviz.figures.guided import gradient_in_window

        found = rectified_gradient(
            self.network,
            image.pixels,
            lambda maps: maps[0, channel, activation.row, activation.column],
            "guided",
            self.layer.name,
        )
        return gradient_in_window(found[0], window, _PERCENTILE, image.channels)


def _sheet(rows: Mapping[int, Sequence[Patch]], title: str) -> Image:
    from cnnviz.figures.patches import PatchTile, patch_sheet

    tiles = {
        channel: [PatchTile(patch.image, patch.activation.value, patch.gradient) for patch in row]
        for channel, row in rows.items()
    }
    return patch_sheet(tiles, title)


def _metadata(rows: Mapping[int, Sequence[Patch]]) -> list[dict[str, Any]]:
    return [
        {
            "channel": channel,
            "patches": [
                {
                    "file": patch.source.display,
                    "activation": round(patch.activation.value, 6),
                    "position": (patch.activation.row, patch.activation.column),
                    "window": patch.window,
                }
                for patch in row
            ],
        }
        for channel, row in rows.items()
    ]


def _title(network: Network, name: str, layer: MapLayer) -> str:
    field = layer.field
    sees = f"each sees {field.size[0]}×{field.size[1]} pixels" if field else "each sees the whole image"
    return f"{network.name} {name}: what excites a channel most; {sees}"
