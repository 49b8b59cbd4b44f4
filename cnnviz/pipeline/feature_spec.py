"""Which features of every image are computed, as plain values that can be sent to workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnviz.pipeline.config import ImageConfig, StoreConfig
from cnnviz.pipeline.reporter import Reporter, SilentReporter
from cnnviz.runtime.paths import with_home

if TYPE_CHECKING:
    from cnnviz.features.feature_index import FeatureStoreRoot, Preprocessing, StoredFeature
    from cnnviz.network.network import Network


@dataclass(frozen=True)
class FeatureSpec:
    """A feature of every image, as plain values, from which each process builds its own ``StoredFeature``.

    ``kind`` is ``features`` (a layer's pooled features, in 16 bits where ``half``), ``peaks`` (each channel's strongest
    position) or ``thumbnails`` (32×32 pixels and a thumbnail, which no layer has a part in).
    """

    kind: str
    layer: str = ""
    half: bool = False

    def build(self, network: Network, place: FeatureStoreRoot, frame: Preprocessing, seed: int) -> StoredFeature:
        from cnnviz.features import feature_index
        from cnnviz.features.maps import map_layer

        if self.kind == "features":
            return feature_index.pooled_feature(network, self.layer, place, frame, half=self.half, seed=seed)
        if self.kind == "peaks":
            return feature_index.channel_maxima_feature(network, map_layer(network, self.layer), place, frame, seed)
        return feature_index.thumbnail_feature(place, frame.background, frame.shown)


def feature_store_root(store: StoreConfig, reporter: Reporter | None = None) -> FeatureStoreRoot:
    """Where the feature store lies; a damaged part of it is reported when it is replaced."""
    from cnnviz.features.feature_index import FeatureStoreRoot

    return FeatureStoreRoot(
        with_home(store.store) if store.store else FeatureStoreRoot.default(),
        lambda path: (reporter or SilentReporter()).warn(
            f"The feature store's '{path}' was damaged; it is built again."
        ),
    )


def preprocessing_of(config: ImageConfig, network: Network) -> Preprocessing:
    """The settings that decide which pixels of a file the network sees."""
    from cnnviz.features.feature_index import Preprocessing

    size = network.spec.size if network.spec.fixed else (config.side or network.spec.size)
    spec = network.spec
    shown = "" if spec.is_photo else f"{config.show_channels or 'first'} of {spec.channels}"
    return Preprocessing(size, config.square, config.background, shown)
