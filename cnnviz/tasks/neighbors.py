"""The images of a collection that are nearest to an image, in feature space and in pixel space."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnviz.errors import ImageError
from cnnviz.features.settings import INDEXES, METRICS
from cnnviz.pipeline.config import StoreConfig
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.settings import setting
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.features import feature_layer_setting, half_setting

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from cnnviz.network.network import Network
    from cnnviz.pipeline.collection_job import ImageCollection
    from cnnviz.pipeline.inputs import ImageSource

Ranked = list[tuple["ImageSource", float]]
"""Neighbors, nearest first, and their distances."""

_METRIC_NAMES = {"l2": "L2 distance", "cosine": "cosine distance"}


@dataclass(frozen=True)
class Neighbors(TaskDefaults):
    """A sheet for each image: the nearest of a collection by the features of a layer, and by 32×32 pixels."""

    purpose = "features"
    workload = "forward"

    k: int = setting(10, "How many neighbors.", min=1, names=("--k", "-k"))
    metric: str = setting("l2", "Distance between features.", choices=METRICS)
    layer: str | None = feature_layer_setting()
    index: str = setting("auto", "auto: approximate from 50,000 images on, if usearch is installed.", choices=INDEXES)
    half: bool = half_setting()
    store: StoreConfig = field(default_factory=StoreConfig)
    seed: int = 0

    def prepare(self, network: Network, images: ImageCollection) -> NeighborIndex:
        """Compute the features of the collection, or read them from the store."""
        from cnnviz.features.embeddings import feature_layer
        from cnnviz.pipeline.feature_indexing import index_features
        from cnnviz.pipeline.feature_spec import FeatureSpec, feature_store_root, preprocessing_of

        layer = self.layer or feature_layer(network)
        specs = [FeatureSpec("features", layer, self.half), FeatureSpec("thumbnails")]
        found = index_features(images, network, specs, self.store, self.seed)
        features, pixels = (feature.store.vectors(found.keys) for feature in found.features)
        facts = preprocessing_of(images.config, network).facts(network, layer, self.seed)
        root = feature_store_root(self.store, images.reporter)
        file = root.path_for("index", {"keys": found.keys, **facts, "half": self.half})
        return NeighborIndex(self, images, found.sources, layer, features, pixels, file)


@dataclass(frozen=True)
class NeighborIndex:
    """A collection to search: its images, their features (N, D) in a layer, and their 32×32 pixels (N, 3072).

    ``file`` is where an approximate index over the features is kept, without a suffix.
    """

    task: Neighbors
    images: ImageCollection
    sources: list[ImageSource]
    layer: str
    features: NDArray[Any]
    pixels: NDArray[Any]
    file: Path

    def __call__(self, network: Network, image: LoadedImage) -> Result:
        """The neighbors of an image. ImageError where the collection has no other image."""
        found = self._search(network, image)
        if not found["features"]:
            raise ImageError(f"There is no other image than '{image.source.display}' to compare with.")
        metadata: dict[str, Any] = {"layer": self.layer, "metric": self.task.metric}
        metadata |= {space: _metadata(ranked) for space, ranked in found.items()}
        config = self.images.config
        parameters = {**self.images.provenance.parameters, **({"recursive": True} if config.recursive else {})}
        recipe = {"inputs": [image.source.named, *(config.images or [])], "parameters": parameters}
        return Result(metadata, self._sheet(network, image, found), recipe=recipe)

    def _search(self, network: Network, image: LoadedImage) -> dict[str, Ranked]:
        """The neighbors in each space; the file of the image itself is none."""
        from cnnviz.features.embeddings import embed_images
        from cnnviz.features.neighbors import nearest_neighbors
        from cnnviz.features.thumbnails import pixel_vector

        task, query = self.task, image.source
        file = self.file.with_suffix(f".{task.metric}.usearch")
        features = embed_images(network, image.pixels, self.layer).numpy()
        by_features = nearest_neighbors(
            features, self.features, task.k + 1, task.metric, index=task.index, index_file=file
        )
        by_pixels = nearest_neighbors(pixel_vector(image.photo)[None], self.pixels, task.k + 1, index="exact")
        return {
            "features": self._ranked(query, *by_features),
            "pixels": self._ranked(query, *by_pixels, scale=1 / 255),
        }

    def _ranked(self, query: ImageSource, indices: NDArray[Any], distances: NDArray[Any], scale: float = 1.0) -> Ranked:
        pairs = zip(indices[0], distances[0], strict=True)
        ranked = [(self.sources[index], float(distance) * scale) for index, distance in pairs]
        return [pair for pair in ranked if not _same_file(pair[0], query)][: self.task.k]

    def _sheet(self, network: Network, image: LoadedImage, found: dict[str, Ranked]) -> Image:
        from cnnviz.figures.neighbors import Neighbor, neighbor_sheet

        def neighbor(source: ImageSource, distance: float) -> Neighbor:
            return Neighbor(read_image(source, network, self.images.config).photo, source.name, distance)

        name, layer = image.source.name, network.layers.common_name(self.layer)
        title = (
            f"{name}: nearest of {len(self.sources):,} by {network.name} {layer} ({_METRIC_NAMES[self.task.metric]}), "
            "and by their 32×32 pixels"
        )
        spaces = {space: [neighbor(*pair) for pair in ranked] for space, ranked in found.items()}
        return neighbor_sheet(image.photo, name, spaces, title)


def _same_file(one: ImageSource, other: ImageSource) -> bool:
    return bool(one.path and other.path and os.path.realpath(one.path) == os.path.realpath(other.path))


def _metadata(ranked: Ranked) -> list[dict[str, Any]]:
    return [{"file": source.display, "distance": round(distance, 6)} for source, distance in ranked]
