"""``--engine ray``: pictures go to the workers of a cluster as bytes, and come back as the bytes of results.

The job and its task are sent to each worker once (Ray pickles closures too). Reading the picture, explaining it and
encoding the result are the same code as in this process, which writes and reports.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cnnviz.errors import ImageError, UsageError
from cnnviz.pipeline.execution import Execution
from cnnviz.pipeline.image_task import BatchItem, EncodedResult, ImageWorker, ItemError, Task, TaskOutcome
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.parsing import index
from cnnviz.pipeline.reporter import Note, RecordingReporter, Reporter, SilentReporter, replay

if TYPE_CHECKING:
    from cnnviz.network.network import Network
    from cnnviz.network.spec import WeightsInfo
    from cnnviz.pipeline.config import EngineConfig
    from cnnviz.pipeline.image_job import ImageJob
    from cnnviz.runtime.executors.ray import Cluster, RayExecutor, WorkerResources
    from cnnviz.runtime.executors.task_result import TaskResults

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
    """A picture that came along instead of being read: its bytes, or why there are none."""

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
    """Sent once to each worker: the job, its task, the network's name, and what both processes have in common."""

    job: ImageJob
    task: Task | None
    model: str
    threads: int
    folder: str = field(default_factory=os.getcwd)
    environment: Mapping[str, str] = field(
        default_factory=lambda: {name: os.environ[name] for name in _FORWARDED_ENV if name in os.environ}
    )

    @staticmethod
    def of(job: ImageJob, task: Task | None, model: str, threads: int) -> WorkerSpec:
        """The job as it travels: without its reporter."""
        return WorkerSpec(replace(job, reporter=SilentReporter()), task, model, threads)

    def __call__(self) -> tuple[WorkerInfo, Callable[[Sequence[BatchItem]], list[EncodedResult | ItemError]]]:
        """Run in the worker: load the network, and give what does pictures."""
        assert self.task is not None
        reporter = self.prepare()
        worker = self.job.worker(self.model, self.task)
        return _info(worker, reporter.take()), _Worker(worker, reporter)

    def load(self) -> Network:
        """The network, in a worker."""
        self.prepare()
        return self.job.load(self.model)

    def prepare(self) -> RecordingReporter:
        """Make this process like the one that sent the job, for good; gives what keeps the job's notes."""
        import torch

        from cnnviz.runtime.malloc import tune_malloc

        os.environ.update(self.environment)
        with suppress(OSError):  # elsewhere there need not be such a folder
            os.chdir(self.folder)
        tune_malloc()
        torch.set_num_threads(self.threads)
        reporter = self.job.reporter = RecordingReporter()
        warnings.filterwarnings("ignore", module=r"PIL\\b")  # broken metadata: an image is read in spite of it
        self.job.network.prepare()
        return reporter


def _info(worker: ImageWorker, notes: list[Note]) -> WorkerInfo:
    net, size = worker.network, worker.batch_size
    return WorkerInfo(net.name, net.weights, net.classes, str(net.device), net.precision, size, notes)


class _Worker:
    """Processes images in a Ray worker."""

    def __init__(self, worker: ImageWorker, reporter: RecordingReporter) -> None:
        from cnnviz.runtime.executors.cancellable_pool import CancellablePool

        self._worker, self._reporter = worker, reporter
        self._open = ExitStack()  # for good: a worker does nothing else
        self._open.enter_context(worker.threads())
        worker.prepare()
        self._compute = CancellablePool(1)

    def __call__(self, items: Sequence[BatchItem]) -> list[EncodedResult | ItemError]:
        values = [value for _, value in self._worker(items, self._compute)]
        for value in values[:1]:
            value.notes = [*getattr(value, "notes", []), *self._reporter.take()]  # type: ignore[union-attr]
        return values


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
                replay(getattr(values[0], "notes", []), self.reporter)
            yield TaskResult(outcome.task, list(zip(outcome.task, values, strict=True)))


def _packed(items: Sequence[BatchItem]) -> list[BatchItem]:
    return [BatchItem(InlineSource.of(item.source), item.destination) for item in items]


@contextmanager
def ray_execution(job: ImageJob, task: Task, model: str, count: int) -> Iterator[Execution]:
    """Workers of a cluster, for as long as the block lasts, with the network of ``job`` loaded."""
    _refuse_what_stays_here(job)

    def setup(threads: int) -> WorkerSpec:
        return WorkerSpec.of(job, task, model, threads)

    with ray_workers(job, job.batch, count, setup, _packed) as workers:
        card = workers.start()
        _report_workers(job.reporter, card, workers.count)
        yield Execution(_RayExecutor(workers, job.reporter), card, card.batch_size, is_remote=True)


@contextmanager
def ray_workers(
    job: ImageJob,
    config: EngineConfig,
    count: int,
    setup: Callable[[int], Callable[[], tuple[Any, Any]]],
    pack: Callable[[Any], Any],
) -> Iterator[RayExecutor]:
    """At most ``count`` workers of a cluster, not yet started; ``setup`` is told how many threads each is to use."""
    from cnnviz.runtime.executors.ray import Cluster, RayExecutor

    threads = _threads()
    with ExitStack() as stack:
        stack.enter_context(job.reporter.only_results_on_stdout())  # Ray prints there that a worker has died
        cluster = Cluster.connect(config.ray_address, (config.jobs or os.cpu_count() or 1) * threads)
        stack.callback(cluster.close)
        share = _resources(job.network.device, cluster, threads)
        most = config.jobs or (cluster.gpus if share.gpus else max(1, cluster.cpus // share.cpus))
        workers: RayExecutor = RayExecutor(setup(threads), min(count, most), share, pack, job.reporter.warn)
        stack.callback(workers.stop)
        yield workers


def _refuse_what_stays_here(job: ImageJob) -> None:
    """Raise UsageError for options whose files lie beside the picture while it is in the making."""
    if job.monitor is not None and job.monitor.config.save_every:
        raise UsageError("The workers of a cluster cannot leave snapshots here.", remedy="remote_snapshots")
    if job.monitor is not None and job.monitor.config.resume:
        raise UsageError("The workers of a cluster cannot resume from a file here.", remedy="remote_resume")


def _threads() -> int:
    """Processors for each worker: what the user gives a process of this machine, else one."""
    return index(os.environ.get("OMP_NUM_THREADS", "1")) or 1


def _resources(device: str, cluster: Cluster, threads: int) -> WorkerResources:
    from cnnviz.runtime.executors.ray import WorkerResources

    if cluster.gpus and device.startswith(("auto", "cuda")):
        return WorkerResources(threads, 1, _GPU_TASKS)
    return WorkerResources(threads)


def _report_workers(reporter: Reporter, card: WorkerInfo, count: int) -> None:
    replay(card.notes, reporter)
    reporter.detail(
        f"{card.name} ({card.weights.label}), {card.classes} classes, on {card.device} in {card.precision}, "
        f"held by {count} Ray workers"
    )
