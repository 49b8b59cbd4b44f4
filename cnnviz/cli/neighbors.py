"""The sheet of ``neighbors``: the nearest in feature space above the nearest in pixel space."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnviz.cli.command import current
from cnnviz.cli.options import StoreOptions
from cnnviz.errors import ImageError
from cnnviz.pipeline.collection_job import ImageCollection
from cnnviz.pipeline.feature_indexing import index_features
from cnnviz.pipeline.feature_spec import FeatureSpec, feature_store_root, preprocessing_of
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.result import LoadedImage, Result

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from cnnviz.network.network import Network

Ranked = list[tuple[ImageSource, float]]


@dataclass
class Neighborhood:
    """The pictures to look among: their features and their 32×32 pixels, and where indexes over them are kept."""

    album: ImageCollection
    sources: list[ImageSource]
    layer: str
    vectors: NDArray[Any]
    pixels: NDArray[Any]
    indexes: Path

    @staticmethod
    def of(
        network: Network, album: ImageCollection, layer: str | None, half: bool, store: StoreOptions, seed: int
    ) -> Neighborhood:
        """Compute, or take from the store, what is to be known of the album's pictures."""
        from cnnviz.features.embeddings import feature_layer

        layer = layer or feature_layer(network)
        place = feature_store_root(store)
        frame = preprocessing_of(album.config, network)
        specs = [FeatureSpec("features", layer, half), FeatureSpec("thumbnails")]
        found = index_features(album, network, specs, store, seed)
        vectors, pixels = (feature.store.vectors(found.keys) for feature in found.features)
        indexes = place.path_for("index", {"keys": found.keys, **frame.facts(network, layer, seed), "half": half})
        return Neighborhood(album, found.sources, layer, vectors, pixels, indexes)

    def sheet(self, network: Network, picture: LoadedImage, k: int, metric: str, index: str) -> Result:
        """Look for one picture; the very file asked for does not count as its own neighbour."""
        from cnnviz.features.embeddings import embed_images
        from cnnviz.features.thumbnails import pixel_vector

        features = embed_images(network, picture.pixels, self.layer).numpy()
        pixels = pixel_vector(picture.photo)[None]
        file = self.indexes.with_suffix(f".{metric}.usearch")
        near = {
            "features": self._ranked(features, self.vectors, picture.source, k, metric, index, file),
            "pixels": self._ranked(pixels, self.pixels, picture.source, k, "l2", "exact", None, scale=1 / 255),
        }
        if not near["features"]:
            raise ImageError(f"There is no other picture than '{picture.source.display}' to compare with.")
        facts = {"layer": self.layer, "metric": metric, **{space: _json(ranked) for space, ranked in near.items()}}
        told = {**current.parameters(), **({"recursive": True} if self.album.config.recursive else {})}
        recipe = {"inputs": [picture.source.named, *(self.album.config.images or [])], "parameters": told}
        return Result(metadata=facts, image=self._draw(network, picture, near, metric), recipe=recipe)

    def _ranked(
        self,
        query: NDArray[Any],
        among: NDArray[Any],
        source: ImageSource,
        k: int,
        metric: str,
        index: str,
        file: Path | None,
        scale: float = 1.0,
    ) -> Ranked:
        from cnnviz.features.neighbors import nearest_neighbors

        indices, distances = nearest_neighbors(query, among, k + 1, metric, index=index, index_file=file)
        ranked = [(self.sources[i], float(d) * scale) for i, d in zip(indices[0], distances[0], strict=True)]
        return [pair for pair in ranked if not _same_file(pair[0], source)][:k]

    def _draw(self, network: Network, picture: LoadedImage, near: dict[str, Ranked], metric: str) -> Image:
        from cnnviz.figures.neighbors import Neighbor, neighbor_sheet

        def neighbor(source: ImageSource, distance: float) -> Neighbor:
            return Neighbor(read_image(source, network, self.album.config).photo, source.name, distance)

        name = {"l2": "L2 distance", "cosine": "cosine distance"}[metric]
        layer = network.layers.common_name(self.layer)
        title = f"{picture.source.name}: nearest of {len(self.sources):,} by {network.name} {layer} ({name})"
        spaces = {space: [neighbor(*pair) for pair in ranked] for space, ranked in near.items()}
        return neighbor_sheet(picture.photo, picture.source.name, spaces, f"{title}, and by their 32×32 pixels")


def _same_file(one: ImageSource, other: ImageSource) -> bool:
    return bool(one.path and other.path and os.path.realpath(one.path) == os.path.realpath(other.path))


def _json(ranked: Ranked) -> list[dict[str, Any]]:
    return [{"file": source.display, "distance": round(distance, 6)} for source, distance in ranked]
