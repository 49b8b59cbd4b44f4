"""``--engine ray`` for commands about a folder: workers compute parts, which are put together or stored here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from cnnviz.pipeline.config import EngineConfig, StoreConfig
from cnnviz.pipeline.feature_spec import FeatureSpec, feature_store_root, preprocessing_of
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.ray_workers import InlineSource, ray_workers

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.adversarial.universal import Part, PartExecutor
    from cnnviz.features.feature_index import IndexStats, StoredFeature
    from cnnviz.features.store import Entry
    from cnnviz.network.network import Network
    from cnnviz.pipeline.collection_job import CollectionJob, ImageCollection
    from cnnviz.pipeline.image_job import ImageJob
    from cnnviz.runtime.progress import OnStep


@dataclass(frozen=True)
class FeatureTask:
    """A image by its content's key, and which features of it are wanted, by their number."""

    key: str
    source: ImageSource
    due: frozenset[int]


FeatureBatch = tuple[list[list["Entry"]], dict[str, Exception]]
"""The entries for each feature's store, and why there are none of some images."""


def feature_work(
    specs: Sequence[FeatureSpec], store: StoreConfig, job: ImageJob, model: str
) -> tuple[None, Callable[[Sequence[FeatureTask]], FeatureBatch]]:
    """Run in a worker: the function that computes the features of some images."""
    from cnnviz.features.feature_index import build_index

    network = job.load(model)
    place, frame = feature_store_root(store), preprocessing_of(job.input, network)
    features = [spec.build(network, place, frame, job.run.seed) for spec in specs]

    def read(source: Any) -> tuple[Image, Tensor]:
        image = read_image(source, network, job.input)
        return image.photo, image.pixels

    def compute(tasks: Sequence[FeatureTask]) -> FeatureBatch:
        stores = [InMemoryStore({task.key for task in tasks if number in task.due}) for number in range(len(features))]
        sources: dict[str, Any] = {task.key: task.source for task in tasks}
        into_memory: Any = [replace(each, store=kept) for each, kept in zip(features, stores, strict=True)]  # type: ignore[arg-type]
        stats = build_index(sources, into_memory, read, batch=len(tasks), workers=1)
        return [kept.entries for kept in stores], stats.failed

    return None, compute


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

    missing = [set(feature.store.missing(sources)) for feature in features]
    due = {key: frozenset(n for n, keys in enumerate(missing) if key in keys) for key in sources}
    todo = [FeatureTask(key, source, due[key]) for key, source in sources.items() if due[key]]
    stats = IndexStats(kept=len(sources) - len(todo))
    if not todo:
        return stats
    size = store.batch_size(network.device)
    tasks = [todo[start : start + size] for start in range(0, len(todo), size)]
    make_work = partial(feature_work, specs, store)
    with ray_workers(job, network.name, len(tasks), make_work, _packed) as (workers, _):
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


def gradient_work(job: ImageJob, model: str) -> tuple[None, Callable[[Part], Tensor]]:
    """Run in a worker: the function that computes parts of the batches of a universal perturbation."""
    network = job.load(model)
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
    with ray_workers(job, network.name, MOST_PARTS, gradient_work, _in_memory) as (workers, _):
        yield lambda parts: (outcome.get() for outcome in workers.run(parts))


def _in_memory(part: Part) -> Part:
    """The part with its tensors where they can be sent from."""
    return replace(part, **{each.name: getattr(part, each.name).cpu() for each in fields(part)})
