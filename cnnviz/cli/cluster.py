"""``--engine ray``: pictures go to the workers of a cluster as bytes, and come back as the bytes of results.

The job and its task are sent to each worker once (Ray pickles closures too). Reading the picture, explaining it and
encoding the result are the same code as in this process, which writes and reports.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cnnviz.cli import console
from cnnviz.cli.command import Invocation, current
from cnnviz.cli.inputs import Source
from cnnviz.cli.options import index
from cnnviz.cli.process import ignore_pillow_warnings
from cnnviz.cli.work import Done, Failure, Item, Made, Workbench
from cnnviz.errors import ImageError, UsageError

if TYPE_CHECKING:
    from cnnviz.cli.job import Bench, Explain, ImageJob
    from cnnviz.cli.options import EngineOptions
    from cnnviz.network.network import Network
    from cnnviz.network.spec import WeightsInfo
    from cnnviz.runtime.executors.ray import Cluster, RayExecutor, WorkerResources
    from cnnviz.runtime.executors.task_result import TaskResults

_HANDED_ON = ("CNNVIZ_OFFLINE", "TORCH_HOME", "OMP_NUM_THREADS")
_GPU_TASKS = 4
"""Tasks a GPU's worker has in hand at once: one computes, the others are read, drawn or encoded."""


@dataclass(frozen=True)
class Card:
    """What a worker says of the network it holds."""

    name: str
    weights: WeightsInfo
    classes: int
    device: str
    precision: str
    at_once: int
    notes: list[str]


@dataclass(frozen=True)
class Carried(Source):
    """A picture that came along instead of being read: its bytes, or why there are none."""

    data: bytes = b""
    problem: str = ""

    @staticmethod
    def of(source: Source) -> Carried:
        from cnnviz.imaging.image_reading import read_file_bytes

        data, problem = b"", ""
        try:
            data = read_file_bytes(source.path) if source.path else source.content()  # type: ignore[assignment]
        except ImageError as error:
            problem = str(error)
        return Carried(source.path, source.folder, source.label, data, problem)

    def content(self) -> bytes:
        from cnnviz.imaging.image_reading import NamedBytes

        if self.problem:
            raise ImageError(self.problem)
        return NamedBytes(self.data, str(self.path)) if self.path else self.data


@dataclass(frozen=True)
class WorkerSpec:
    """Sent once to each worker: the job, its task, the network's name, and what both processes have in common."""

    job: ImageJob
    task: Explain | None
    model: str
    threads: int
    invocation: Invocation = field(default_factory=lambda: replace(current, typed=set()))
    folder: str = field(default_factory=os.getcwd)
    environment: Mapping[str, str] = field(
        default_factory=lambda: {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    )

    def __call__(self) -> tuple[Card, Callable[[Sequence[Item]], list[Made | Failure]]]:
        """Run in the worker: load the network, and give what does pictures."""
        assert self.task is not None
        network, notes = self.load()
        bench = Workbench(self.job, network, self.task)
        return _card(bench, notes), _Desk(bench)

    def load(self) -> tuple[Network, list[str]]:
        """The network, and what there was to warn of. For good: a worker does nothing else."""
        import torch

        os.environ.update(self.environment)
        with suppress(OSError):  # elsewhere there need not be such a folder
            os.chdir(self.folder)
        vars(current).update(vars(self.invocation))
        torch.set_num_threads(self.threads)
        ignore_pillow_warnings()
        with console.collected() as notes:
            self.job.network.prepare()
            return self.job.load(self.model), notes


def _card(bench: Workbench, notes: list[str]) -> Card:
    net = bench.network
    at_once = bench.pictures_at_once
    return Card(net.name, net.weights, net.classes, str(net.device), net.precision, at_once, notes)


class _Desk:
    """Does pictures in a worker."""

    def __init__(self, bench: Workbench) -> None:
        from cnnviz.runtime.executors.cancellable_pool import CancellablePool

        self._bench = bench
        self._open = ExitStack()  # for good: a worker does nothing else
        self._open.enter_context(bench.threads())
        bench.prepare()
        self._lanes = CancellablePool(1)

    def __call__(self, items: Sequence[Item]) -> list[Made | Failure]:
        with console.collected() as notes:
            values = [value for _, value in self._bench(items, self._lanes)]
        for value in values[:1]:
            value.notes = notes  # type: ignore[union-attr]
        return values


@dataclass
class _RayEngine:
    """Workers as an engine of items."""

    workers: RayExecutor[Card, Sequence[Item], list[Made | Failure]]

    def run(self, tasks: Sequence[Sequence[Item]], *, ordered: bool = True) -> TaskResults[Sequence[Item], list[Done]]:
        from cnnviz.runtime.executors.ray import WorkerLostError
        from cnnviz.runtime.executors.task_result import TaskResult

        for outcome in self.workers.run(tasks, ordered=ordered):
            if isinstance(outcome.error, WorkerLostError):
                lost = ImageError(str(outcome.error))
                yield TaskResult(outcome.task, [(item, lost) for item in outcome.task])
                continue
            values = outcome.get()
            for note in getattr(values[0], "notes", []):
                console.warn(note)
            yield TaskResult(outcome.task, list(zip(outcome.task, values, strict=True)))


def _packed(items: Sequence[Item]) -> list[Item]:
    return [Item(Carried.of(item.source), item.destination) for item in items]


@contextmanager
def ray_bench(job: ImageJob, explain: Explain, model: str, count: int) -> Iterator[Bench]:
    """Workers of a cluster, for as long as the block lasts, with the network of ``job`` loaded."""
    from cnnviz.cli.job import Bench

    _refuse_what_stays_here(job)

    def setup(threads: int) -> WorkerSpec:
        return WorkerSpec(job, explain, model, threads)

    with hired(job.batch, job.network.device, count, setup, _packed) as workers:
        card = workers.start()
        _tell(card, workers.count)
        yield Bench(_RayEngine(workers), card, card.at_once, is_remote=True)


@contextmanager
def hired(
    options: EngineOptions,
    device: str,
    count: int,
    setup: Callable[[int], Callable[[], tuple[Any, Any]]],
    pack: Callable[[Any], Any],
) -> Iterator[RayExecutor]:
    """At most ``count`` workers of a cluster, not yet started; ``setup`` is told how many threads each is to use."""
    from cnnviz.runtime.executors.ray import Cluster, RayExecutor

    threads = _threads()
    with ExitStack() as stack:
        stack.enter_context(console.only_results_on_stdout())  # Ray prints there that a worker has died
        cluster = Cluster.connect(options.ray_address, (options.jobs or os.cpu_count() or 1) * threads)
        stack.callback(cluster.close)
        share = _share(device, cluster, threads)
        most = options.jobs or (cluster.gpus if share.gpus else max(1, cluster.cpus // share.cpus))
        workers: RayExecutor = RayExecutor(setup(threads), min(count, most), share, pack, console.warn)
        stack.callback(workers.stop)
        yield workers


def _refuse_what_stays_here(job: ImageJob) -> None:
    """Raise UsageError for options whose files lie beside the picture while it is in the making."""
    if job.watch is not None and job.watch.options.save_every:
        raise UsageError("--save-every writes where the work is done: leave it out, or --engine ray.")
    if job.watch is not None and job.watch.resume:
        raise UsageError("--resume goes on from a file here: leave it out, or --engine ray.")


def _threads() -> int:
    """Processors for each worker: what the user gives a process of this machine, else one."""
    return index(os.environ.get("OMP_NUM_THREADS", "1")) or 1


def _share(device: str, cluster: Cluster, threads: int) -> WorkerResources:
    from cnnviz.runtime.executors.ray import WorkerResources

    if cluster.gpus and device.startswith(("auto", "cuda")):
        return WorkerResources(threads, 1, _GPU_TASKS)
    return WorkerResources(threads)


def _tell(card: Card, count: int) -> None:
    for note in card.notes:
        console.warn(note)
    console.detail(
        f"{card.name} ({card.weights.label}), {card.classes} classes, on {card.device} in {card.precision}, "
        f"held by {count} Ray workers"
    )
