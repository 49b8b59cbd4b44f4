"""``--engine ray`` for tasks about a folder: workers compute parts, which are put together or stored here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial

from torch import Tensor

from cnnviz.adversarial.universal import MOST_PARTS, Part, PartExecutor
from cnnviz.features.feature_index import FeatureBatch, FeatureBatches, FeatureExecutor, compute_features
from cnnviz.network.network import Network
from cnnviz.pipeline.collection_job import ImageCollection
from cnnviz.pipeline.config import EngineConfig, StoreConfig
from cnnviz.pipeline.feature_spec import FeatureSpec, feature_store_root, preprocessing_of
from cnnviz.pipeline.image_job import ImageJob
from cnnviz.pipeline.image_loading import image_reader
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.ray_workers import InlineSource, ray_workers
from cnnviz.runtime.executors.ray import WorkerLostError

FeatureTask = tuple[dict[str, ImageSource], list[set[str]]]
"""Some images by the hash of their content, and which of them each feature is missing of."""


def feature_executor(
    job: ImageJob, network: Network, specs: Sequence[FeatureSpec], store: StoreConfig
) -> FeatureExecutor:
    """Computes features on the workers of a cluster, for ``build_index``, which stores them as they come."""
    size, work = store.batch_size(network.device), partial(feature_work, specs, store)

    def compute(sources: Mapping[str, ImageSource], missing: Sequence[Set[str]]) -> FeatureBatches:
        todo = [key for key in sources if any(key in keys for keys in missing)]
        batches = [todo[start : start + size] for start in range(0, len(todo), size)]
        tasks = [({key: sources[key] for key in keys}, [set(keys) & some for some in missing]) for keys in batches]
        if not tasks:
            return
        with ray_workers(job, network.name, len(tasks), work, _with_bytes) as (executor, _):
            for result in executor.run(tasks, ordered=False):
                if isinstance(result.error, WorkerLostError):
                    yield FeatureBatch([[] for _ in specs], dict.fromkeys(result.task[0], result.error))
                else:
                    yield from result.get()

    return compute


def _with_bytes(task: FeatureTask) -> FeatureTask:
    return {key: InlineSource.of(source) for key, source in task[0].items()}, task[1]


def feature_work(
    specs: Sequence[FeatureSpec], store: StoreConfig, job: ImageJob, model: str
) -> tuple[None, Callable[[FeatureTask], list[FeatureBatch]]]:
    """Run in a worker: the function that computes the features of some images."""
    network = job.load(model)
    root, preprocessing = feature_store_root(store), preprocessing_of(job.input, network)
    features = [spec.build(network, root, preprocessing, job.run.seed) for spec in specs]
    read = image_reader(network, job.input)
    return None, lambda task: list(compute_features(*task, features, read, batch=len(task[0]), workers=1))


def gradient_work(job: ImageJob, model: str) -> tuple[None, Callable[[Part], Tensor]]:
    """Run in a worker: the function that computes parts of the batches of a universal perturbation."""
    network = job.load(model)
    return None, lambda part: part(network).cpu()


@contextmanager
def part_executor(images: ImageCollection, network: Network) -> Iterator[PartExecutor | None]:
    """Computes the parts of batches on the workers of a cluster if the run asks for them; None: in this process."""
    job = images.job
    if job is None or not isinstance(job.run, EngineConfig) or job.run.engine != "ray":
        yield None
        return
    with ray_workers(job, network.name, MOST_PARTS, gradient_work, _on_cpu) as (executor, _):
        yield lambda parts: (result.get() for result in executor.run(parts))


def _on_cpu(part: Part) -> Part:
    """The part with its tensors where they can be sent from."""
    return replace(part, **{each.name: getattr(part, each.name).cpu() for each in fields(part)})
