"""What ``embed`` and ``embed-index`` make: the map as a picture, a page and a table, and the index's figures."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnviz.cli.options import StoreOptions
from cnnviz.errors import UsageError
from cnnviz.figures.captions import percent
from cnnviz.pipeline.collection_job import ImageCollection
from cnnviz.pipeline.feature_indexing import IndexResult, index_features
from cnnviz.pipeline.feature_spec import FeatureSpec, feature_store_root
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.result import Result

if TYPE_CHECKING:
    from cnnviz.features.feature_index import FeatureStoreRoot, StoredFeature
    from cnnviz.features.layout import GridLayout
    from cnnviz.features.projection import Projection
    from cnnviz.network.network import Network

_MOST_IN_SCATTER = 20_000
"""Thumbnails of a scatter map; more would each be smaller than can be seen."""


def coordinates_suffix(parquet: bool) -> str:
    """The suffix of the table of coordinates. UsageError where Parquet is asked for and cannot be written."""
    if parquet and not find_spec("pyarrow"):
        raise UsageError("Parquet needs pyarrow: pip install 'cnnviz[embed]', or leave --parquet out for CSV.")
    return ".parquet" if parquet else ".csv"


@dataclass(frozen=True)
class Mapping:
    """How the user wants the map."""

    method: str
    layout: str
    classes: str
    layer: str | None = None
    perplexity: float | None = None
    half: bool = False

    def draw(
        self, network: Network, album: ImageCollection, store: StoreOptions, seed: int, *, parquet: bool
    ) -> Result:
        """Describe all pictures, lay them out, and draw."""
        from cnnviz.features.embeddings import feature_layer
        from cnnviz.features.feature_index import predictions
        from cnnviz.features.thumbnails import Thumbnails
        from cnnviz.figures.class_colors import limited_classes
        from cnnviz.figures.embedding import EmbeddingFigure

        place = feature_store_root(store)
        layer = self.layer or feature_layer(network)
        specs = [FeatureSpec("features", layer, self.half), FeatureSpec("thumbnails")]
        found = index_features(album, network, specs, store, seed)
        features, looks = found.features
        projection, shown, places = self._project(features, found.keys, place, seed)
        guesses = [(network.label(index), p) for index, p in predictions(features, found.keys)]
        kinds = self._kinds(found.sources, [label for label, _ in guesses])
        name = network.layers.common_name(layer)
        title = f"{len(found.sources):,} pictures by {network.name} {name}; {projection.remark}"
        if len(shown) < len(found.sources):
            title += f" ({len(shown):,} of them shown)"
        names, colors = limited_classes(kinds)
        figure = EmbeddingFigure(
            Thumbnails(looks.store, [found.keys[n] for n in shown]),
            places,
            projection.points[shown],
            [found.sources[n].display for n in shown],
            [names[n] for n in shown] if names else [],
            [f"network says {guesses[n][0]}, {percent(guesses[n][1])}" for n in shown],
            colors,
            title,
        )
        table = _table(found, projection, names, guesses)
        return Result(
            metadata={
                "layer": layer,
                "method": self.method,
                "remark": projection.remark,
                "pictures": len(found.sources),
                "computed": found.stats.computed,
                "agreement": _agreement(features, looks, found.keys, kinds) if kinds else None,
            },
            image=figure.image(),
            sidecars={
                ".html": figure.page().encode(errors="backslashreplace"),
                coordinates_suffix(parquet): _parquet(table) if parquet else _csv(table),
            },
        )

    def _project(
        self, features: StoredFeature, keys: Sequence[str], place: FeatureStoreRoot, seed: int
    ) -> tuple[Projection, list[int], GridLayout]:
        """The projection and layout of this very set of pictures, kept like all else, and which of them are shown."""
        import numpy as np

        from cnnviz.features.array_cache import cached_arrays
        from cnnviz.features.layout import MOST_IN_GRID, GridLayout, grid_layout, scatter_layout
        from cnnviz.features.projection import Projection, project

        most = MOST_IN_GRID if self.layout == "grid" else _MOST_IN_SCATTER
        shown = list(range(len(keys))) if len(keys) <= most else [n * len(keys) // most for n in range(most)]
        facts = {
            "vectors": features.store.folder.name,
            "keys": list(keys),
            "method": self.method,
            "perplexity": self.perplexity,
            "seed": seed,
        }

        def compute() -> dict[str, Any]:
            found = project(features.store.vectors(keys), self.method, perplexity=self.perplexity, seed=seed)
            return {"points": found.points, "remark": np.array(found.remark)}

        def lay_out() -> dict[str, Any]:
            found = (grid_layout if self.layout == "grid" else scatter_layout)(points[shown])
            return {"cells": found.cells, "sheet": np.array([found.columns, found.rows])}

        projected = cached_arrays(place.path_for("projection", facts).with_suffix(".npz"), compute)
        points = projected["points"]
        laid = cached_arrays(place.path_for("layout", {**facts, "layout": self.layout}).with_suffix(".npz"), lay_out)
        columns, rows = laid["sheet"].tolist()
        return Projection(points, str(projected["remark"])), shown, GridLayout(laid["cells"], columns, rows)

    def _kinds(self, sources: Sequence[ImageSource], predicted: list[str]) -> list[str]:
        """Each picture's class for the colours; empty if there are to be none."""
        if self.classes == "predicted":
            return predicted
        names = {folder: folder.resolve().name for folder in {_path(source).parent for source in sources}}
        folders = [names[_path(source).parent] for source in sources]
        if self.classes == "folder" or (self.classes == "auto" and len(set(folders)) > 1):
            return folders
        return []


def _table(
    found: IndexResult, projection: Projection, kinds: Sequence[str], guesses: Sequence[tuple[str, float]]
) -> dict[str, list[Any]]:
    """All images, shown or not, column by column."""
    points = projection.points.tolist()
    return {
        "file": [source.display for source in found.sources],
        "x": [round(x, 6) for x, _ in points],
        "y": [round(y, 6) for _, y in points],
        "class": list(kinds) or [""] * len(points),
        "predicted": [label for label, _ in guesses],
        "probability": [round(p, 6) for _, p in guesses],
    }


def _agreement(
    features: StoredFeature, looks: StoredFeature, keys: Sequence[str], kinds: Sequence[str]
) -> dict[str, float]:
    """For how many pictures the nearest other one has the same class: by features, and by 32×32 pixels."""
    from cnnviz.features.neighbors import nearest_agreement

    many = 5_000  # each picture is compared with each
    chosen = range(0, len(keys), max(1, -(-len(keys) // many)))
    some, names = [keys[n] for n in chosen], [kinds[n] for n in chosen]
    return {
        name: round(nearest_agreement(feature.store.vectors(some), names), 4)
        for name, feature in (("features", features), ("pixels", looks))
    }


def _csv(table: dict[str, list[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return text.getvalue().encode("utf-8", "surrogateescape")


def _parquet(table: dict[str, list[Any]]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(table), buffer)
    return buffer.getvalue()


def _path(source: ImageSource) -> Path:
    assert source.path is not None
    return source.path
