"""Runs tasks on the workers of a Ray cluster, each of which loads what it needs once.

A worker that dies (killed, out of memory, its machine lost) is replaced, and its tasks go to other workers.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from cnnviz.errors import CnnvizError, UsageError
from cnnviz.runtime.executors.task_result import Task, TaskResult, TaskResults, Value

Info = TypeVar("Info")

Setup = Callable[[], tuple[Info, Callable[[Any], Value]]]
"""Called once in every worker, to which it is sent pickled: returns what the driver wants to know of the worker, and
the function that does a task."""

_MAX_ATTEMPTS = 3
_POLL_SECONDS = 1.0
_WAIT_NOTICE = 30  # seconds after which a message says what is waited for
_OBJECT_STORE = 256 << 20  # bytes, for the few tasks and results that are in transit


class WorkerLostError(CnnvizError):
    """Every worker that tried a task died."""


@dataclass(frozen=True)
class WorkerResources:
    """What one worker takes of its machine, and how many tasks it has at a time (one computes, others do I/O)."""

    cpus: int = 1
    gpus: int = 0
    max_concurrency: int = 1


@dataclass
class Cluster:
    """A connection to a Ray cluster; ``is_own`` if this process started it."""

    cpus: int
    gpus: int
    is_own: bool

    @staticmethod
    def connect(address: str | None, cpus: int | None) -> Cluster:
        """Connect to ``address``, or start a cluster with ``cpus`` CPUs on this machine.

        Raises UsageError if Ray is not installed or no cluster answers.
        """
        ray = _ray()
        is_own = not ray.is_initialized()
        if is_own:
            _init(ray, address or os.environ.get("RAY_ADDRESS"), cpus)
        resources = ray.cluster_resources()
        return Cluster(int(resources.get("CPU", 1)), int(resources.get("GPU", 0)), is_own)

    def close(self) -> None:
        if self.is_own:
            _ray().shutdown()


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UsageError("Ray is not installed: pip install 'cnnviz[ray]'.") from error
    return ray


def _init(ray: Any, address: str | None, cpus: int | None) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    _check_reachable(address)
    on_termination = signal.getsignal(signal.SIGTERM)
    own = {} if address else {"num_cpus": cpus, "object_store_memory": _OBJECT_STORE, "include_dashboard": False}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level="CRITICAL", **own)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"at '{address}'" if address else "on this machine"
        raise UsageError(f"No Ray cluster could be reached {where}: {_first_line(error)}") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_termination)  # Ray installs its own handler


def _check_reachable(address: str | None) -> None:
    """Raise UsageError if nothing listens at HOST:PORT; Ray itself tries for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise UsageError(f"No Ray cluster answers at '{address}': {error.strerror or error}.") from error


class _Worker:
    """The actor: runs in a worker's process."""

    def __init__(self, setup: Setup) -> None:
        from cnnviz.runtime.malloc import tune_malloc

        tune_malloc()  # the process is ours
        self._setup = setup
        self._ready: tuple[Any, Callable[[Any], Any]] | None = None
        self._lock = threading.Lock()

    def start(self) -> TaskResult:
        return _attempt(lambda: self._loaded()[0])

    def do(self, payload: Any) -> TaskResult:
        return _attempt(lambda: self._loaded()[1](payload))

    def _loaded(self) -> tuple[Any, Callable[[Any], Any]]:
        with self._lock:
            self._ready = self._ready or self._setup()
            return self._ready


def _attempt(action: Callable[[], Any]) -> TaskResult:
    """The value of ``action``, or its error in a form that can be pickled."""
    try:
        return TaskResult(None, action())
    except CnnvizError as error:
        return TaskResult(None, error=error)
    except Exception as error:  # a bug: its class may not be importable here, so its traceback travels as text
        return TaskResult(None, error=RuntimeError("".join(traceback.format_exception(error))))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@dataclass
class _WorkerHandle:
    """A worker as the driver sees it: ``busy`` tasks were sent to it and have not come back."""

    actor: Any
    busy: int = 0


@dataclass
class _PendingTask(Generic[Task]):
    """A task without a result yet; ``losses`` workers have died while they had it."""

    index: int
    task: Task
    losses: int = 0


@dataclass
class RayExecutor(Generic[Info, Task, Value]):
    """Runs tasks on ``count`` workers of the connected cluster.

    Args:
        setup: loads what a worker needs, in the worker.
        count: number of workers.
        resources: of each worker.
        pack: turns a task into what is sent; called just before sending.
        on_event: called with a sentence when a worker is lost, or when the first is long in starting.
    """

    setup: Setup
    count: int
    resources: WorkerResources
    pack: Callable[[Task], Any]
    on_event: Callable[[str], None]
    workers: list[_WorkerHandle] = field(default_factory=list)

    def start(self) -> Info:
        """Start the workers; returns the info of the first once it is ready. Raises what its setup raised."""
        ray = _ray()
        answer, *_ = [self._start_worker() for _ in range(self.count)]
        for seconds in itertools.count(1):
            if ray.wait([answer], timeout=_POLL_SECONDS)[0]:
                break
            if seconds == _WAIT_NOTICE:
                self.on_event("Still waiting for the cluster to start a first worker.")
        info: Info = ray.get(answer).get()
        return info

    def _start_worker(self) -> Any:
        """Start a worker; returns the pending answer of its ``start``."""
        options = {
            "num_cpus": self.resources.cpus,
            "num_gpus": self.resources.gpus,
            "max_concurrency": self.resources.max_concurrency,
        }
        worker = _WorkerHandle(_ray().remote(_Worker).options(**options).remote(self.setup))
        self.workers.append(worker)
        return worker.actor.start.remote()

    def stop(self) -> None:
        """Kill the workers, whatever they are doing."""
        for worker in self.workers:
            _ray().kill(worker.actor)
        self.workers.clear()

    def run(self, tasks: Sequence[Task], *, ordered: bool = True) -> TaskResults[Task, Value]:
        """Each task's result. A few tasks a worker are sent, or done and not yet asked for, at any time."""
        ray = _ray()
        waiting = deque(_PendingTask(index, task) for index, task in enumerate(tasks))
        sent: dict[Any, tuple[_PendingTask[Task], _WorkerHandle]] = {}
        done: dict[int, TaskResult[Task, Value]] = {}
        returned, window = 0, 4 * self.count * (self.resources.max_concurrency + 1)
        while waiting or sent or done:
            while waiting and waiting[0].index < returned + window and (worker := self._free_worker(waiting[0])):
                pending = waiting.popleft()
                worker.busy += 1
                sent[worker.actor.do.remote(self.pack(pending.task))] = pending, worker
            for answer in ray.wait(list(sent), timeout=_POLL_SECONDS)[0]:
                pending, worker = sent.pop(answer)
                worker.busy -= 1
                result = self._receive(pending, worker, answer)
                if result is None:
                    waiting.appendleft(pending)
                else:
                    done[pending.index] = result
            for index in itertools.takewhile(done.__contains__, itertools.count(returned)) if ordered else list(done):
                returned += 1
                yield done.pop(index)

    def _free_worker(self, pending: _PendingTask[Task]) -> _WorkerHandle | None:
        """The least busy worker, if it can take one more task. A task that lost its worker gets an idle one."""
        worker = min(self.workers, key=lambda worker: worker.busy)
        limit = 1 if pending.losses else self.resources.max_concurrency + 1
        return worker if worker.busy < limit else None

    def _receive(
        self, pending: _PendingTask[Task], worker: _WorkerHandle, answer: Any
    ) -> TaskResult[Task, Value] | None:
        """The task's result; None if its worker was lost and another will try."""
        ray = _ray()
        try:
            result = ray.get(answer)
        except ray.exceptions.RayError as error:
            self._replace(worker)
            pending.losses += 1
            if pending.losses < _MAX_ATTEMPTS:
                return None
            message = f"{pending.losses} workers were lost over it: {_first_line(error)}"
            return TaskResult(pending.task, error=WorkerLostError(message))
        return TaskResult(pending.task, result.value, result.error)

    def _replace(self, worker: _WorkerHandle) -> None:
        if worker in self.workers:
            self.workers.remove(worker)
            self.on_event("A worker was lost; another takes its place.")
            self._start_worker()
