"""Runs a job on the workers of a Ray cluster: images go there as bytes, and the bytes of results come back.

The job and its task are sent to each worker once. Workers read, process and encode images by the same code as this
process, which writes the results and reports. Of tasks about a folder, workers compute parts, which are put together
or stored here.
"""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import closing, contextmanager, suppress
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cnnviz.adversarial.universal import MOST_PARTS, Part, PartExecutor
from cnnviz.errors import ModelError, UsageError
from cnnviz.features.feature_index import FeatureBatch, FeatureBatches, FeatureExecutor, compute_features
from cnnviz.network.hashing import sha256
from cnnviz.network.network import Network
from cnnviz.network.sources.files import model_files
from cnnviz.pipeline.config import EngineConfig, NetworkConfig, StoreConfig
from cnnviz.pipeline.execution import Execution
from cnnviz.pipeline.feature_spec import FeatureSpec, feature_store_root, preprocessing_of
from cnnviz.pipeline.image_loading import image_reader
from cnnviz.pipeline.image_task import BatchItem, EncodedResult, Task, TaskOutcome
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.parsing import index
from cnnviz.pipeline.recipe import NetworkInfo
from cnnviz.pipeline.reporter import Note, RecordingReporter, forward_notes
from cnnviz.runtime.executors.cancellable_pool import CancellablePool
from cnnviz.runtime.executors.ray import RayExecutor, Setup, WorkerLostError, ray_cluster
from cnnviz.runtime.paths import is_file

if TYPE_CHECKING:
    from cnnviz.pipeline.collection_job import ImageCollection
    from cnnviz.pipeline.image_job import ImageJob

MakeWork = Callable[["ImageJob", str], tuple[Any, Callable[[Any], Any]]]
"""Run in a worker, with the job and the network's name: returns info for the driver, and what does a task."""

FeatureTask = tuple[dict[str, ImageSource], list[set[str]]]
"""Some images by the hash of their content, and for each feature those that lack it."""

_FORWARDED_ENV = ("CNNVIZ_OFFLINE", "TORCH_HOME", "OMP_NUM_THREADS", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE")
_GPU_TASKS = 4
"""Tasks that the worker of a GPU has at once: one computes, the others are read, drawn or encoded."""


def worker_setup(job: ImageJob, model: str, threads: int, make_work: MakeWork) -> Setup:
    """What a worker runs first: it takes over the settings and the folder of this process, and makes the work.

    ModelError where the worker lacks a file of the network, or has another.
    """
    environment = {name: os.environ[name] for name in _FORWARDED_ENV if name in os.environ}
    folder, remote_job = Path.cwd(), replace(job, network=_settled(job), reporter=RecordingReporter())
    files = {str(file): sha256(file) for network in job.networks for file in files_of(network)}

    def set_up() -> tuple[Any, Callable[[Any], Any]]:
        os.environ.update(environment)
        with suppress(OSError):  # elsewhere there need not be such a folder
            os.chdir(folder)
        torch.set_num_threads(threads)
        warnings.filterwarnings("ignore", module=r"PIL\b")  # broken metadata: an image is read in spite of it
        require_files(files)
        return make_work(remote_job, model)

    return set_up


def require_files(files: Mapping[str, str]) -> None:
    """Raise ModelError that names the machine unless it has these files, by their names and their SHA-256."""
    machine = socket.gethostname()
    for name, digest in files.items():
        if not is_file(name):
            raise ModelError(f"The machine '{machine}' has no file '{name}', which the network is made of.")
        if sha256(Path(name)) != digest:
            raise ModelError(f"The file '{name}' is another on the machine '{machine}' than here.")


@contextmanager
def ray_workers(
    job: ImageJob, model: str, count: int, make_work: MakeWork, pack: Callable[[Any], Any]
) -> Iterator[tuple[RayExecutor, Any]]:
    """At most ``count`` workers of a cluster, started, and what the first says of itself.

    ``make_work`` is called in each with the job and ``model``; ``pack`` turns a task into what is sent.
    """
    assert isinstance(job.run, EngineConfig)
    if any(getattr(network, "exec", None) for network in job.networks):
        raise UsageError("A program is started here, not by the workers of a cluster.", remedy="program_here")
    jobs, threads = job.run.jobs, index(os.environ.get("OMP_NUM_THREADS", "1")) or 1
    setup = worker_setup(job, model, threads, make_work)
    own_cpus = (jobs or os.cpu_count() or 1) * threads
    # Ray prints to standard output that a worker has died.
    with job.reporter.only_results_on_stdout(), ray_cluster(job.run.ray_address, own_cpus) as (cpus, gpus):
        has_gpu = gpus > 0 and job.network.device.startswith(("auto", "cuda"))
        most = min(count, jobs or (gpus if has_gpu else max(1, cpus // threads)))
        options = {"num_cpus": threads, **({"num_gpus": 1, "max_concurrency": _GPU_TASKS} if has_gpu else {})}
        with closing(RayExecutor[Any, Any](setup, most, pack, job.reporter.warn, options)) as executor:
            yield executor, executor.start()


def _settled(job: ImageJob) -> Any:
    """The job's network, with what is decided by a measure of this machine, so that it is the same for all workers."""
    network = job.network
    if not isinstance(network, NetworkConfig) or network.fast_conv is not None:
        return network
    from cnnviz.network.fast_conv_choice import suits_machine

    return replace(network, fast_conv=suits_machine(job.workload))


def files_of(network: Any) -> list[Path]:
    """The files that a network is loaded from, as they are named; none for one that is loaded already."""
    if not isinstance(network, NetworkConfig):
        return []
    named = [Path(name) for name in (network.weights, network.labels) if name is not None]
    models = network.model if isinstance(network.model, list) else [network.model]
    return [file for file in (*named, *(each for model in models for each in model_files(model))) if is_file(file)]


@contextmanager
def ray_execution(job: ImageJob, task: Task, model: str, count: int) -> Iterator[Execution]:
    """Workers of a cluster, for as long as the block lasts, with the network of ``job`` loaded."""
    monitored = job.monitor.config if job.monitor else None
    if monitored and monitored.save_every:
        raise UsageError("The workers of a cluster cannot leave snapshots here.", remedy="remote_snapshots")
    if monitored and monitored.resume:
        raise UsageError("The workers of a cluster cannot resume from a file here.", remedy="remote_resume")
    with ray_workers(job, model, count, partial(image_work, task), _with_data) as (executor, about):
        network, batch_size, notes = about
        forward_notes(notes, job.reporter)
        job.reporter.detail(f"{executor.count} Ray workers hold {network.name}.")
        yield Execution(executor, network, batch_size, is_remote=True)


def _with_data(items: Sequence[BatchItem]) -> list[BatchItem]:
    return [BatchItem(item.source.with_data(), item.destination) for item in items]


def image_work(task: Task, job: ImageJob, model: str) -> tuple[tuple[NetworkInfo, int, list[Note]], Callable]:
    """Run in a worker: its network, its batch size and notes, and the function that processes images."""
    worker, compute, recorder = job.worker(model, task), CancellablePool(1), job.reporter
    assert isinstance(recorder, RecordingReporter)

    def process(items: Sequence[BatchItem]) -> list[TaskOutcome]:
        with worker.threads():
            outcomes = worker(items, compute)
        for outcome in outcomes:
            if isinstance(outcome, EncodedResult):
                outcome.notes = [*recorder.take(), *outcome.notes]
        return outcomes

    worker.prepare()
    network = NetworkInfo(*(getattr(worker.network, each.name) for each in fields(NetworkInfo)))
    return (network, worker.batch_size, recorder.take()), process


def feature_executor(
    job: ImageJob, network: Network, specs: Sequence[FeatureSpec], store: StoreConfig
) -> FeatureExecutor:
    """Computes features on the workers of a cluster, for ``build_index``, which stores them as they come."""
    size = store.batch_size(network.device)

    def compute(sources: Mapping[str, ImageSource], missing: Sequence[Set[str]]) -> FeatureBatches:
        todo = [key for key in sources if any(key in keys for keys in missing)]
        batches = [todo[start : start + size] for start in range(0, len(todo), size)]
        tasks = [({key: sources[key] for key in keys}, [set(keys) & some for some in missing]) for keys in batches]
        if not tasks:
            return
        work = partial(feature_work, specs, store)
        with ray_workers(job, network.name, len(tasks), work, _features_with_data) as (executor, _):
            for result in executor.run(tasks, ordered=False):
                if isinstance(result.error, WorkerLostError):
                    yield FeatureBatch([[] for _ in specs], dict.fromkeys(result.task[0], result.error))
                else:
                    yield from result.get()

    return compute


def _features_with_data(task: FeatureTask) -> FeatureTask:
    return {key: source.with_data() for key, source in task[0].items()}, task[1]


def feature_work(specs: Sequence[FeatureSpec], store: StoreConfig, job: ImageJob, model: str) -> tuple[None, Callable]:
    """Run in a worker: the function that computes the features of some images (a ``FeatureTask``)."""
    network = job.load(model)
    root, preprocessing = feature_store_root(store), preprocessing_of(job.input, network)
    features = [spec.build(network, root, preprocessing, job.run.seed) for spec in specs]
    read = image_reader(network, job.input)
    return None, lambda task: list(compute_features(task[0], task[1], features, read, batch=len(task[0]), workers=1))


@contextmanager
def part_executor(images: ImageCollection, network: Network) -> Iterator[PartExecutor | None]:
    """Computes the parts of batches on the workers of a cluster if the run asks for them; None: in this process."""
    if images.remote_job is None:
        yield None
        return
    with ray_workers(images.remote_job, network.name, MOST_PARTS, gradient_work, _on_cpu) as (executor, _):
        yield lambda parts: (result.get() for result in executor.run(parts))


def gradient_work(job: ImageJob, model: str) -> tuple[None, Callable[[Part], Tensor]]:
    """Run in a worker: the function that computes parts of the batches of a universal perturbation."""
    network = job.load(model)
    return None, lambda part: part(network).cpu()


def _on_cpu(part: Part) -> Part:
    """The part with its tensors on the CPU, from where they can be sent."""
    return replace(part, **{each.name: getattr(part, each.name).cpu() for each in fields(part)})
