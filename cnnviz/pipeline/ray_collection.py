"""``--engine ray`` for commands about a folder: workers compute parts, which are put together or stored here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnviz.pipeline.config import EngineConfig, StoreConfig
from cnnviz.pipeline.feature_spec import FeatureSpec, feature_store_root, preprocessing_of
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.ray_workers import InlineSource, WorkerSpec, ray_workers

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.adversarial.universal import Part, PartExecutor
    from cnnviz.features.feature_index import IndexStats, StoredFeature
    from cnnviz.features.store import Entry
    from cnnviz.network.network import Network
    from cnnviz.pipeline.collection_job import CollectionJob, ImageCollection
    from cnnviz.runtime.progress import OnStep


@dataclass(frozen=True)
class FeatureTask:
    """A picture by its content's key, and which features of it are wanted, by their number."""

    key: str
    source: ImageSource
    due: frozenset[int]


FeatureBatch = tuple[list[list["Entry"]], dict[str, Exception]]
"""The entries for each feature's store, and why there are none of some pictures."""


@dataclass(frozen=True)
class FeatureWorkerSpec:
    """Sent once to each worker that computes features."""

    worker: WorkerSpec
    specs: Sequence[FeatureSpec]
    store: StoreConfig

    def __call__(self) -> tuple[None, Callable[[Sequence[FeatureTask]], FeatureBatch]]:
        job = self.worker.job
        network = self.worker.load()
        place, frame = feature_store_root(self.store), preprocessing_of(job.input, network)  # type: ignore[arg-type]
        features = [spec.build(network, place, frame, job.run.seed) for spec in self.specs]

        def read(source: Path | ImageSource) -> tuple[Image, Tensor]:
            assert isinstance(source, ImageSource)
            picture = read_image(source, network, job.input)
            return picture.photo, picture.pixels

        return None, lambda pieces: _gathered(pieces, features, read)


def _gathered(
    pieces: Sequence[FeatureTask], features: Sequence[StoredFeature], read: Callable[[Any], tuple[Image, Tensor]]
) -> FeatureBatch:
    """Run in the worker: everything wanted of some pictures."""
    from cnnviz.features.feature_index import build_index

    stores = [InMemoryStore({piece.key for piece in pieces if number in piece.due}) for number in range(len(features))]
    files: dict[str, Any] = {piece.key: piece.source for piece in pieces}
    into_memory = [replace(feature, store=store) for feature, store in zip(features, stores, strict=True)]  # type: ignore[arg-type]
    stats = build_index(files, into_memory, read, batch=len(pieces), workers=1)
    return [store.entries for store in stores], stats.failed


class InMemoryStore:
    """In-memory stand-in for a store: lacks what is due, and collects entries to send to the driver."""

    rebuilt = 0  # times that it was begun again, which only a file can be

    def __init__(self, due: set[str]) -> None:
        self.due = due
        self.entries: list[Entry] = []

    def missing(self, keys: Sequence[str]) -> list[str]:
        return [key for key in keys if key in self.due]

    def add(self, entries: Sequence[Entry]) -> None:
        self.entries += entries


def compute_features_remote(
    job: CollectionJob,
    network: Network,
    sources: dict[str, ImageSource],
    specs: Sequence[FeatureSpec],
    features: Sequence[StoredFeature],
    on_step: OnStep,
    store: StoreConfig,
) -> IndexStats:
    """``feature_index.build_index`` by the workers of a cluster; each task's entries are stored as they come."""
    from cnnviz.features.feature_index import IndexStats
    from cnnviz.runtime.progress import Step

    assert isinstance(job.run, EngineConfig)
    missing = [set(feature.store.missing(sources)) for feature in features]
    due = {key: frozenset(n for n, keys in enumerate(missing) if key in keys) for key in sources}
    todo = [FeatureTask(key, source, due[key]) for key, source in sources.items() if due[key]]
    stats = IndexStats(kept=len(sources) - len(todo))
    if not todo:
        return stats
    size = store.batch_size(network.device)
    tasks = [todo[start : start + size] for start in range(0, len(todo), size)]

    def setup(threads: int) -> FeatureWorkerSpec:
        return FeatureWorkerSpec(WorkerSpec.of(job, None, network.name, threads), specs, store)

    with ray_workers(job, job.run, len(tasks), setup, _packed) as workers:
        workers.start()
        for outcome in workers.run(tasks, ordered=False):
            entries, failed = outcome.get()
            for feature, found in zip(features, entries, strict=True):
                if found:
                    feature.store.add(found)
            stats.failed.update(failed)
            stats.computed += len(outcome.task) - len(failed)
            on_step(Step(stats.computed + len(stats.failed), len(todo)))
    return stats


def _packed(pieces: Sequence[FeatureTask]) -> list[FeatureTask]:
    return [FeatureTask(piece.key, InlineSource.of(piece.source), piece.due) for piece in pieces]


@dataclass(frozen=True)
class GradientWorkerSpec:
    """Sent once to each worker that computes parts of the batches of a universal perturbation."""

    worker: WorkerSpec

    def __call__(self) -> tuple[None, Callable[[Part], Tensor]]:
        network = self.worker.load()
        return None, lambda part: part(network).cpu()


@contextmanager
def part_executor(images: ImageCollection, network: Network) -> Iterator[PartExecutor | None]:
    """What computes the parts of batches, for as long as the block lasts: the workers of a cluster, if the run asks
    for them; None for this process."""
    from cnnviz.adversarial.universal import MOST_PARTS

    job = images.job
    if job is None or not isinstance(job.run, EngineConfig) or job.run.engine != "ray":
        yield None
        return

    def setup(threads: int) -> GradientWorkerSpec:
        return GradientWorkerSpec(WorkerSpec.of(job, None, network.name, threads))

    with ray_workers(job, job.run, MOST_PARTS, setup, _in_memory) as workers:
        workers.start()
        yield lambda parts: (outcome.get() for outcome in workers.run(parts))


def _in_memory(part: Part) -> Part:
    """The part with its tensors where they can be sent from."""
    return replace(part, **{each.name: getattr(part, each.name).cpu() for each in fields(part)})
