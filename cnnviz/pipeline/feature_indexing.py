"""Features of many images: computed once, kept in the feature store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cnnviz.errors import ImageError, MemoryShortError
from cnnviz.pipeline.collection_job import ImageCollection
from cnnviz.pipeline.config import ImageConfig, StoreConfig
from cnnviz.pipeline.feature_spec import FeatureSpec, feature_store_root, preprocessing_of
from cnnviz.pipeline.image_loading import image_reader, read_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.reporter import Reporter

if TYPE_CHECKING:
    from cnnviz.features.feature_index import IndexStats, StoredFeature
    from cnnviz.network.network import Network
    from cnnviz.runtime.progress import Step


@dataclass
class IndexResult:
    """The images that could be read, each with the key of its content, and how much had to be computed.

    ``features`` are those asked for, in their order.
    """

    sources: list[ImageSource]
    keys: list[str]
    stats: IndexStats
    features: list[StoredFeature]


def index_features(
    collection: ImageCollection, network: Network, specs: Sequence[FeatureSpec], store: StoreConfig, seed: int
) -> IndexResult:
    """The images with all ``specs`` stored, computed where missing; unreadable images are reported and left out.

    ImageError where not one could be read.
    """
    from cnnviz.features.file_hashes import FileHashes

    place, frame = feature_store_root(store, collection.reporter), preprocessing_of(collection.config, network)
    features = [spec.build(network, place, frame, seed) for spec in specs]
    known = FileHashes(place.folder, place.on_rebuilt).keys([_path(source) for source in collection.sources])
    files = {key: source for source, key in zip(collection.sources, known, strict=True) if key}
    with _progress(collection.reporter) as on_step:
        stats = _filled(collection, network, files, specs, features, on_step, store)
    sources, keys = [], []
    for source, key in zip(collection.sources, known, strict=True):
        error = stats.failed.get(key) if key else _why_unreadable(source, network, collection.config)
        if isinstance(error, ImageError | MemoryShortError):
            collection.fail(source, error)
        elif key:
            sources.append(source)
            keys.append(key)
    if not sources:
        raise collection.nothing_read()
    return IndexResult(sources, keys, stats, features)


def _filled(
    collection: ImageCollection,
    network: Network,
    files: dict[str, ImageSource],
    specs: Sequence[FeatureSpec],
    features: Sequence[StoredFeature],
    on_step: Callable[[Step], None],
    store: StoreConfig,
) -> IndexStats:
    """The counts of computing what is missing of the files, here or by the workers of a cluster."""
    from cnnviz.features.feature_index import build_index

    executor = None
    if collection.remote_job is not None:
        from cnnviz.pipeline.ray_workers import feature_executor

        executor = feature_executor(collection.remote_job, network, specs, store)
    batch, device = store.batch_size(network.device), network.device
    reader = image_reader(network, collection.config)
    return build_index(files, features, reader, on_step, batch=batch, device=device, executor=executor)


def _path(source: ImageSource) -> Path:
    assert source.path is not None
    return source.path


def _why_unreadable(source: ImageSource, network: Network, config: ImageConfig) -> Exception | None:
    """The error of reading a file whose content could not even be hashed."""
    try:
        read_image(source, network, config)
    except (ImageError, MemoryShortError) as error:
        return error
    return ImageError(f"'{source.display}' could not be read.")


class _progress(ExitStack):  # noqa: N801 (used as a function)
    """A progress bar that appears with the first step: a run that finds all in the store shows none."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self._reporter = reporter

    def __enter__(self) -> Callable[[Step], None]:  # type: ignore[override]
        super().__enter__()
        self._advance: Callable[[str], None] | None = None
        self._done = 0
        return self._step

    def _step(self, step: Step) -> None:
        if self._advance is None:
            self._advance = self.enter_context(self._reporter.progress(step.total, "images"))
        for _ in range(self._done, step.step):  # a step is a batch, the bar counts images
            self._advance("")
        self._done = step.step
