"""A map of many images, similar ones side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cnnviz.features.settings import PROJECTIONS
from cnnviz.figures.captions import score_text
from cnnviz.figures.class_colors import ELSEWHERE
from cnnviz.pipeline.config import StoreConfig
from cnnviz.pipeline.result import Result
from cnnviz.settings import setting
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.features import feature_layer_setting, half_setting
from cnnviz.tasks.shared.map_classes import AUTO, PREDICTED, MapClasses, map_classes, named, require_classes

if TYPE_CHECKING:
    from cnnviz.features.feature_index import FeatureStoreRoot, StoredFeature
    from cnnviz.features.layout import GridLayout
    from cnnviz.features.projection import Projection
    from cnnviz.network.network import Network
    from cnnviz.network.prediction import Prediction
    from cnnviz.pipeline.collection_job import ImageCollection
    from cnnviz.pipeline.feature_indexing import IndexResult

_YES_NO = {True: "yes", False: "no", None: ""}
_MOST_IN_SCATTER = 20_000
"""Thumbnails of a scatter map; with more, each would be too small to see."""

_MOST_COMPARED = 5_000
"""Images whose nearest neighbor is looked for, each among all of them."""


@dataclass(frozen=True)
class Placement:
    """Where images are drawn.

    Attributes:
        projection: the coordinates of all images.
        shown: the indices of those that are drawn.
        layout: the cell of each of these.
    """

    projection: Projection
    shown: list[int]
    layout: GridLayout


@dataclass(frozen=True)
class Embed(TaskDefaults):
    """A map of a collection by the features of a layer: an image, an interactive page, and a table of coordinates."""

    purpose = "features"
    workload = "forward"

    method: str = setting("tsne", "How the map is made.", choices=PROJECTIONS)
    layout: str = setting("scatter", "scatter keeps the map's shape; grid fills a square.", choices=("scatter", "grid"))
    classes: str = setting(
        AUTO,
        "Color by folder, predicted class, or a CSV file of images and classes; auto: by folder if there are several.",
        metavar="auto|folder|predicted|none|FILE.csv",
    )
    layer: str | None = feature_layer_setting()
    perplexity: float | None = setting(None, "Neighbors each image has in t-SNE.", show_default="30, or fewer")
    parquet: bool = setting(False, "Coordinates as Parquet instead of CSV.")
    half: bool = half_setting()
    store: StoreConfig = field(default_factory=StoreConfig)
    seed: int = 0

    @property
    def sidecars(self) -> Sequence[str]:
        return (".html", ".parquet" if self.parquet else ".csv")

    def run(self, network: Network, images: ImageCollection) -> Result:
        from cnnviz.features.embeddings import feature_layer
        from cnnviz.features.feature_index import predictions
        from cnnviz.features.table import csv_bytes, parquet_bytes
        from cnnviz.features.thumbnails import Thumbnails
        from cnnviz.figures.embedding import EmbeddingFigure
        from cnnviz.pipeline.feature_indexing import index_features
        from cnnviz.pipeline.feature_spec import FeatureSpec, feature_store_root

        require_classes(self.classes)
        if self.classes == PREDICTED:
            network.require_classifier()
        layer = self.layer or feature_layer(network)
        specs = [FeatureSpec("features", layer, self.half), FeatureSpec("thumbnails")]
        found = index_features(images, network, specs, self.store, self.seed)
        features, thumbnails = found.features
        placement = self._placement(features, found.keys, feature_store_root(self.store, images.reporter))
        predicted = [named(network, *prediction) for prediction in predictions(features, found.keys)]
        kinds = map_classes(
            self.classes, network, found.sources, [prediction[0] for prediction in predicted], images.reporter
        )
        names, colors = kinds.colors()
        shown = placement.shown
        figure = EmbeddingFigure(
            Thumbnails(thumbnails.store, [found.keys[n] for n in shown]),
            placement.layout,
            placement.projection.points[shown],
            [found.sources[n].display for n in shown],
            [names[n] for n in shown] if names else [],
            [_verdict(predicted[n], network.has_probabilities) for n in shown],
            colors,
            _title(network, layer, found, placement),
            [colors.get(predicted[n][1], ELSEWHERE) if kinds.mistaken[n] else "" for n in shown]
            if kinds.mistaken
            else [],
        )
        table = _table(found, placement.projection, names, predicted, kinds, network.has_probabilities)
        coordinates = parquet_bytes(table) if self.parquet else csv_bytes(table)
        page = figure.page().encode(errors="backslashreplace")
        metadata = {
            "layer": layer,
            "method": self.method,
            "remark": placement.projection.remark,
            "pictures": len(found.sources),
            "computed": found.stats.computed,
            "agreement": _agreement(found, kinds.names) if kinds.names else None,
            **kinds.metadata(),
        }
        return Result(metadata, figure.image(), sidecars=dict(zip(self.sidecars, (page, coordinates), strict=True)))

    def _placement(self, features: StoredFeature, keys: Sequence[str], root: FeatureStoreRoot) -> Placement:
        """The projection and layout of these images, from the store if they are there."""
        import numpy as np

        from cnnviz.features.array_cache import cached_arrays
        from cnnviz.features.layout import MOST_IN_GRID, GridLayout, grid_layout, scatter_layout
        from cnnviz.features.projection import Projection, project

        is_grid = self.layout == "grid"
        most = MOST_IN_GRID if is_grid else _MOST_IN_SCATTER
        shown = list(range(len(keys))) if len(keys) <= most else [n * len(keys) // most for n in range(most)]
        facts = {
            "vectors": features.store.folder.name,
            "keys": list(keys),
            "method": self.method,
            "perplexity": self.perplexity,
            "seed": self.seed,
        }

        def compute() -> dict[str, Any]:
            vectors = features.store.vectors(keys)
            found = project(vectors, self.method, perplexity=self.perplexity, seed=self.seed)
            return {"points": found.points, "remark": np.array(found.remark)}

        def lay_out() -> dict[str, Any]:
            found = (grid_layout if is_grid else scatter_layout)(points[shown])
            return {"cells": found.cells, "sheet": np.array([found.columns, found.rows])}

        projected = cached_arrays(root.path_for("projection", facts).with_suffix(".npz"), compute)
        points = projected["points"]
        laid = cached_arrays(root.path_for("layout", {**facts, "layout": self.layout}).with_suffix(".npz"), lay_out)
        columns, rows = laid["sheet"].tolist()
        return Placement(Projection(points, str(projected["remark"])), shown, GridLayout(laid["cells"], columns, rows))


def _verdict(prediction: Prediction, is_probability: bool) -> str:
    """What the network says of an image; empty where it names no class."""
    _, label, score = prediction
    return f"network says {label}, {score_text(score, is_probability)}" if label else ""


def _title(network: Network, layer: str, found: IndexResult, placement: Placement) -> str:
    count, shown = len(found.sources), len(placement.shown)
    name = f"{network.name} {network.layers.common_name(layer)}"
    some = f" ({shown:,} of them shown)" if shown < count else ""
    return f"{count:,} images by {name}; {placement.projection.remark}{some}"


def _table(
    found: IndexResult,
    projection: Projection,
    classes: Sequence[str],
    predicted: Sequence[Prediction],
    kinds: MapClasses,
    is_probability: bool,
) -> dict[str, list[Any]]:
    """All images, shown or not, column by column."""
    points = projection.points.tolist()
    return {
        "file": [source.display for source in found.sources],
        "x": [round(x, 6) for x, _ in points],
        "y": [round(y, 6) for _, y in points],
        "class": list(classes) or [""] * len(points),
        "predicted": [label for _, label, _ in predicted],
        "probability" if is_probability else "value": [round(score, 6) for _, _, score in predicted],
        **({"mistake": [_YES_NO[wrong] for wrong in kinds.mistaken]} if kinds.mistaken else {}),
    }


def _agreement(found: IndexResult, classes: Sequence[str]) -> dict[str, float]:
    """For how many images the nearest other one has the same class: by features, and by 32×32 pixels."""
    from cnnviz.features.neighbors import nearest_agreement

    chosen = range(0, len(found.keys), max(1, -(-len(found.keys) // _MOST_COMPARED)))
    keys, names = [found.keys[n] for n in chosen], [classes[n] for n in chosen]
    return {
        space: round(nearest_agreement(feature.store.vectors(keys), names), 4)
        for space, feature in zip(("features", "pixels"), found.features, strict=True)
    }
