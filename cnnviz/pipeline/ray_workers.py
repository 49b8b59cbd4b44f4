"""Runs a job on the workers of a Ray cluster: images go there as bytes, and the bytes of results come back.

The job and its task are sent to each worker once. Workers read, process and encode images by the same code as this
process, which writes the results and reports.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from cnnviz.errors import ImageError, UsageError
from cnnviz.pipeline.config import EngineConfig
from cnnviz.pipeline.execution import Execution
from cnnviz.pipeline.image_task import BatchItem, EncodedResult, ImageWorker, ItemError, Task, TaskOutcome
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.parsing import index
from cnnviz.pipeline.reporter import Note, RecordingReporter, Reporter, forward_notes

if TYPE_CHECKING:
    from cnnviz.network.spec import WeightsInfo
    from cnnviz.pipeline.image_job import ImageJob
    from cnnviz.runtime.executors.cancellable_pool import CancellablePool
    from cnnviz.runtime.executors.ray import RayExecutor
    from cnnviz.runtime.executors.task_result import TaskResults

MakeWork = Callable[["ImageJob", str], tuple[Any, Callable[[Any], Any]]]
"""Run in a worker, with the job and the network's name: what there is to know of it, and what does a task."""

_FORWARDED_ENV = ("CNNVIZ_OFFLINE", "TORCH_HOME", "OMP_NUM_THREADS")
_GPU_TASKS = 4
"""Tasks a GPU's worker has in hand at once: one computes, the others are read, drawn or encoded."""


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker says of the network it holds."""

    name: str
    weights: WeightsInfo
    classes: int
    device: str
    precision: str
    batch_size: int
    notes: list[Note]


@dataclass(frozen=True)
class InlineSource(ImageSource):
    """An image sent as its bytes, or why it has none."""

    data: bytes = b""
    problem: str = ""

    @staticmethod
    def of(source: ImageSource) -> InlineSource:
        from cnnviz.imaging.image_reading import read_file_bytes

        data, problem = b"", ""
        try:
            data = read_file_bytes(source.path) if source.path else source.content()  # type: ignore[assignment]
        except ImageError as error:
            problem = str(error)
        return InlineSource(source.path, source.folder, source.label, data, problem)

    def content(self) -> bytes:
        from cnnviz.imaging.image_reading import NamedBytes

        if self.problem:
            raise ImageError(self.problem)
        return NamedBytes(self.data, str(self.path)) if self.path else self.data


@dataclass(frozen=True)
class WorkerSpec:
    """Sent once to each worker: the job, what makes its work, and what both processes have in common."""

    job: ImageJob
    make_work: MakeWork
    model: str
    threads: int
    folder: str = field(default_factory=os.getcwd)
    environment: Mapping[str, str] = field(
        default_factory=lambda: {name: os.environ[name] for name in _FORWARDED_ENV if name in os.environ}
    )

    def __call__(self) -> tuple[Any, Callable[[Any], Any]]:
        """Run in the worker, for good: it does nothing else. Makes the work."""
        import torch

        os.environ.update(self.environment)
        with suppress(OSError):  # elsewhere there need not be such a folder
            os.chdir(self.folder)
        torch.set_num_threads(self.threads)
        warnings.filterwarnings("ignore", module=r"PIL\b")  # broken metadata: an image is read in spite of it
        self.job.network.prepare()
        return self.make_work(self.job, self.model)


def image_work(task: Task, job: ImageJob, model: str) -> tuple[WorkerInfo, Callable]:
    """What a worker says of its network, and the function that processes images."""
    from cnnviz.runtime.executors.cancellable_pool import CancellablePool

    worker, stack = job.worker(model, task), ExitStack()
    network = worker.network
    stack.enter_context(worker.threads())
    worker.prepare()
    about = (network.name, network.weights, network.classes, str(network.device), network.precision)
    info = WorkerInfo(*about, worker.batch_size, _notes(job))
    return info, partial(_process, worker, CancellablePool(1), stack)


def _process(
    worker: ImageWorker, compute: CancellablePool, stack: ExitStack, items: Sequence[BatchItem]
) -> list[EncodedResult | ItemError]:
    """The result of each item; the first carries what was noted meanwhile. ``stack`` is to stay open."""
    values = [value for _, value in worker(items, compute)]
    values[0].notes = [*getattr(values[0], "notes", []), *_notes(worker.job)]  # type: ignore[union-attr]
    return values


def _notes(job: ImageJob) -> list[Note]:
    return job.reporter.take() if isinstance(job.reporter, RecordingReporter) else []


@dataclass
class _RayExecutor:
    """Workers as an executor of items."""

    workers: RayExecutor[WorkerInfo, Sequence[BatchItem], list[EncodedResult | ItemError]]
    reporter: Reporter

    def run(
        self, tasks: Sequence[Sequence[BatchItem]], *, ordered: bool = True
    ) -> TaskResults[Sequence[BatchItem], list[TaskOutcome]]:
        from cnnviz.runtime.executors.ray import WorkerLostError
        from cnnviz.runtime.executors.task_result import TaskResult

        for outcome in self.workers.run(tasks, ordered=ordered):
            if isinstance(outcome.error, WorkerLostError):
                lost = ImageError(str(outcome.error))
                yield TaskResult(outcome.task, [(item, lost) for item in outcome.task])
                continue
            values = outcome.get()
            if isinstance(values[0], ItemError):  # a result's notes are reported with it
                forward_notes(getattr(values[0], "notes", []), self.reporter)
            yield TaskResult(outcome.task, list(zip(outcome.task, values, strict=True)))


def _packed(items: Sequence[BatchItem]) -> list[BatchItem]:
    return [BatchItem(InlineSource.of(item.source), item.destination) for item in items]


@contextmanager
def ray_execution(job: ImageJob, task: Task, model: str, count: int) -> Iterator[Execution]:
    """Workers of a cluster, for as long as the block lasts, with the network of ``job`` loaded."""
    _refuse_what_stays_here(job)
    with ray_workers(job, model, count, partial(image_work, task), _packed) as (workers, info):
        forward_notes(info.notes, job.reporter)
        job.reporter.detail(
            f"{info.name} ({info.weights.label}), {info.classes} classes, on {info.device} in {info.precision}, "
            f"held by {workers.count} Ray workers"
        )
        yield Execution(_RayExecutor(workers, job.reporter), info, info.batch_size, is_remote=True)


@contextmanager
def ray_workers(
    job: ImageJob, model: str, count: int, make_work: MakeWork, pack: Callable[[Any], Any]
) -> Iterator[tuple[RayExecutor, Any]]:
    """At most ``count`` workers of a cluster, started, and what the first says of itself.

    ``make_work`` is called in each with the job and ``model``; ``pack`` turns a task into what is sent.
    """
    from cnnviz.runtime.executors.ray import Cluster, RayExecutor, WorkerResources

    assert isinstance(job.run, EngineConfig)
    jobs, threads = job.run.jobs, index(os.environ.get("OMP_NUM_THREADS", "1")) or 1
    spec = WorkerSpec(replace(job, reporter=RecordingReporter()), make_work, model, threads)
    with ExitStack() as stack:
        stack.enter_context(job.reporter.only_results_on_stdout())  # Ray prints there that a worker has died
        cluster = Cluster.connect(job.run.ray_address, (jobs or os.cpu_count() or 1) * threads)
        stack.callback(cluster.close)
        has_gpu = cluster.gpus > 0 and job.network.device.startswith(("auto", "cuda"))
        resources = WorkerResources(threads, 1, _GPU_TASKS) if has_gpu else WorkerResources(threads)
        most = jobs or (cluster.gpus if has_gpu else max(1, cluster.cpus // threads))
        workers: RayExecutor = RayExecutor(spec, min(count, most), resources, pack, job.reporter.warn)
        stack.callback(workers.stop)
        yield workers, workers.start()


def _refuse_what_stays_here(job: ImageJob) -> None:
    """Raise UsageError for options whose files lie beside the image while it is in the making."""
    if job.monitor is not None and job.monitor.config.save_every:
        raise UsageError("The workers of a cluster cannot leave snapshots here.", remedy="remote_snapshots")
    if job.monitor is not None and job.monitor.config.resume:
        raise UsageError("The workers of a cluster cannot resume from a file here.", remedy="remote_resume")
