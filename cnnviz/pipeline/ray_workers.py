"""Runs a job on the workers of a Ray cluster: images go there as bytes, and the bytes of results come back.

The job and its task are sent to each worker once. Workers read, process and encode images by the same code as this
process, which writes the results and reports.
"""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cnnviz.errors import ModelError, UsageError
from cnnviz.imaging.image_reading import NamedBytes, read_file_bytes
from cnnviz.network.hashing import sha256
from cnnviz.network.sources.files import model_files
from cnnviz.network.spec import InputSpec, WeightsInfo
from cnnviz.pipeline.config import EngineConfig, NetworkConfig
from cnnviz.pipeline.execution import Execution
from cnnviz.pipeline.image_task import BatchItem, EncodedResult, ItemError, Task, TaskOutcome, capture_error
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.parsing import index
from cnnviz.pipeline.reporter import Note, RecordingReporter, Reporter, forward_notes
from cnnviz.runtime.executors.cancellable_pool import CancellablePool
from cnnviz.runtime.executors.ray import RayExecutor, WorkerLostError, ray_cluster
from cnnviz.runtime.executors.task_result import TaskResult, TaskResults
from cnnviz.runtime.paths import is_file

if TYPE_CHECKING:
    from cnnviz.pipeline.image_job import ImageJob

MakeWork = Callable[["ImageJob", str], tuple[Any, Callable[[Any], Any]]]
"""Run in a worker, with the job and the network's name: what there is to know of it, and what does a task."""

Values = list[EncodedResult | ItemError]

_FORWARDED_ENV = (
    *("CNNVIZ_OFFLINE", "TORCH_HOME", "OMP_NUM_THREADS"),
    *("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE"),
)
_GPU_TASKS = 4
"""Tasks that the worker of a GPU has at once: one computes, the others are read, drawn or encoded."""


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker says of its network (a ``NetworkInfo``), and what was noted when it was loaded."""

    name: str
    weights: WeightsInfo
    spec: InputSpec
    precision: str
    fast_conv_choice: bool | None
    classes: int
    about: str
    batch_size: int
    notes: Sequence[Note]


@dataclass(frozen=True)
class InlineSource(ImageSource):
    """An image sent as its bytes, or as the error that reading them raised."""

    data: bytes | ItemError = b""

    @staticmethod
    def of(source: ImageSource) -> InlineSource:
        data = capture_error(lambda: read_file_bytes(source.path) if source.path else source.content())
        return InlineSource(source.path, source.folder, source.label, data)

    def content(self) -> bytes:
        if isinstance(self.data, ItemError):
            raise self.data
        return NamedBytes(self.data, str(self.path)) if self.path else self.data


def set_up_worker(
    job: ImageJob,
    make_work: MakeWork,
    model: str,
    threads: int,
    folder: Path,
    environment: Mapping[str, str],
    files: Mapping[str, str],
) -> tuple[Any, Callable[[Any], Any]]:
    """Run in a worker, for good: it does nothing else. Gives the process the driver's settings, and makes the work.

    ``files`` are those of the network, with their SHA-256; ModelError where the worker has no such file, or another.
    """
    os.environ.update(environment)
    with suppress(OSError):  # elsewhere there need not be such a folder
        os.chdir(folder)
    torch.set_num_threads(threads)
    warnings.filterwarnings("ignore", module=r"PIL\b")  # broken metadata: an image is read in spite of it
    require_files(files)
    return make_work(job, model)


def require_files(files: Mapping[str, str]) -> None:
    """Raise ModelError that names the machine unless it has these files, by their names and their SHA-256."""
    for name, digest in files.items():
        if not is_file(name):
            raise ModelError(
                f"The machine '{socket.gethostname()}' has no file '{name}', which the network is made of."
            )
        if sha256(Path(name)) != digest:
            raise ModelError(f"The file '{name}' is another on the machine '{socket.gethostname()}' than here.")


@contextmanager
def ray_workers(
    job: ImageJob, model: str, count: int, make_work: MakeWork, pack: Callable[[Any], Any]
) -> Iterator[tuple[RayExecutor, Any]]:
    """At most ``count`` workers of a cluster, started, and what the first says of itself.

    ``make_work`` is called in each with the job and ``model``; ``pack`` turns a task into what is sent.
    """
    assert isinstance(job.run, EngineConfig)
    if any(getattr(network, "exec", None) for network in job.networks):
        raise UsageError(
            "A program is started on this machine, not by the workers of a cluster.", remedy="program_here"
        )
    jobs, threads = job.run.jobs, index(os.environ.get("OMP_NUM_THREADS", "1")) or 1
    environment = {name: os.environ[name] for name in _FORWARDED_ENV if name in os.environ}
    recorded = replace(job, network=_settled(job), reporter=RecordingReporter())
    files = {str(file): sha256(file) for network in job.networks for file in files_of(network)}
    setup = partial(set_up_worker, recorded, make_work, model, threads, Path.cwd(), environment, files)
    own_cpus = (jobs or os.cpu_count() or 1) * threads
    # Ray prints to standard output that a worker has died.
    with job.reporter.only_results_on_stdout(), ray_cluster(job.run.ray_address, own_cpus) as (cpus, gpus):
        has_gpu = gpus > 0 and job.network.device.startswith(("auto", "cuda"))
        most = min(count, jobs or (gpus if has_gpu else max(1, cpus // threads)))
        per_worker = (threads, 1, _GPU_TASKS) if has_gpu else (threads,)
        with closing(RayExecutor[Any, Any](setup, most, pack, job.reporter.warn, *per_worker)) as executor:
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


def _with_bytes(items: Sequence[BatchItem]) -> list[BatchItem]:
    return [BatchItem(InlineSource.of(item.source), item.destination) for item in items]


@contextmanager
def ray_execution(job: ImageJob, task: Task, model: str, count: int) -> Iterator[Execution]:
    """Workers of a cluster, for as long as the block lasts, with the network of ``job`` loaded."""
    monitored = job.monitor.config if job.monitor else None
    if monitored and monitored.save_every:
        raise UsageError("The workers of a cluster cannot leave snapshots here.", remedy="remote_snapshots")
    if monitored and monitored.resume:
        raise UsageError("The workers of a cluster cannot resume from a file here.", remedy="remote_resume")
    with ray_workers(job, model, count, partial(image_work, task), _with_bytes) as (executor, info):
        forward_notes(info.notes, job.reporter)
        job.reporter.detail(f"{info.about} in {info.precision}, held by {executor.count} Ray workers")
        yield Execution(_ImageExecutor(executor, job.reporter), info, info.batch_size, is_remote=True)


@dataclass
class _ImageExecutor:
    """Workers as an executor of images; the workers' notes are reported with each task's results."""

    executor: RayExecutor[Sequence[BatchItem], tuple[Values, list[Note]]]
    reporter: Reporter

    def run(self, tasks: Sequence[Any], *, ordered: bool = True) -> TaskResults[Any, list[TaskOutcome]]:
        for result in self.executor.run(tasks, ordered=ordered):
            lost = result.error if isinstance(result.error, WorkerLostError) else None
            values, notes = ([lost] * len(result.task), []) if lost else result.get()
            forward_notes(notes, self.reporter)
            yield TaskResult(result.task, list(zip(result.task, values, strict=True)))


def image_work(task: Task, job: ImageJob, model: str) -> tuple[WorkerInfo, Callable]:
    """Run in a worker: what it says of its network, and the function that processes images."""
    worker, compute, recorder = job.worker(model, task), CancellablePool(1), job.reporter
    assert isinstance(recorder, RecordingReporter)
    network = worker.network
    about = f"{network.name} ({network.weights.label}), {network.classes} classes, on {network.device}"

    def process(items: Sequence[BatchItem]) -> tuple[Values, list[Note]]:
        with worker.threads():
            return [value for _, value in worker(items, compute)], recorder.take()

    worker.prepare()
    info = WorkerInfo(
        network.name,
        network.weights,
        network.spec,
        network.precision,
        network.fast_conv_choice,
        network.classes,
        about,
        worker.batch_size,
        recorder.take(),
    )
    return info, process
