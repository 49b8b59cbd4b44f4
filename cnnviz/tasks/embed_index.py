"""Computes and keeps the features of many images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from cnnviz.pipeline.config import StoreConfig
from cnnviz.pipeline.result import Result
from cnnviz.runtime.paths import is_folder
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.features import feature_layer_setting, half_setting

if TYPE_CHECKING:
    from cnnviz.network.network import Network
    from cnnviz.pipeline.collection_job import ImageCollection


@dataclass(frozen=True)
class EmbedIndex(TaskDefaults):
    """Fills the feature store with the features and thumbnails of a collection."""

    purpose = "features"
    workload = "forward"  # as of embed and neighbors, which find features of the same precision only
    writes: ClassVar[bool] = False

    layer: str | None = feature_layer_setting()
    half: bool = half_setting()
    store: StoreConfig = field(default_factory=StoreConfig)
    seed: int = 0

    def run(self, network: Network, images: ImageCollection) -> Result:
        from cnnviz.features.embeddings import feature_layer
        from cnnviz.features.file_hashes import FileHashes
        from cnnviz.pipeline.feature_indexing import index_features
        from cnnviz.pipeline.feature_spec import FeatureSpec, feature_store_root

        root, layer = feature_store_root(self.store, images.reporter), self.layer or feature_layer(network)
        specs = [FeatureSpec("features", layer, self.half), FeatureSpec("thumbnails")]
        found = index_features(images, network, specs, self.store, self.seed)
        hashes = FileHashes(root.folder, root.on_rebuilt)
        gone = sum(hashes.forget_missing(Path(name)) for name in images.config.images or [] if is_folder(name))
        size, stats = sum(feature.store.size() for feature in found.features), found.stats
        metadata = {
            "layer": layer,
            "pictures": len(found.sources),
            "contents": len(set(found.keys)),
            "computed": stats.computed,
            "kept": stats.kept,
            "gone": gone,
            "store": str(root.folder),
            "bytes": size,
        }
        line = (
            f"{len(found.sources):,} images: {stats.computed:,} computed, {stats.kept:,} known already, "
            f"{gone:,} gone; {size / 2**20:.1f} MiB in {root.folder}"
        )
        return Result(metadata, text=[line])
