"""Runs tasks on the workers of a Ray cluster, each of which loads what it needs once.

A worker that dies (killed, out of memory, its machine lost) is replaced, and its tasks go to other workers. Ray's own
restarts (``max_task_retries``) are not used: they also count against tasks that waited at the worker that died.
"""

from __future__ import annotations

import importlib
import itertools
import os
import signal
import socket
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Generic

from cnnviz.errors import CnnvizError, ImageError, UsageError
from cnnviz.runtime.executors.task_result import Task, TaskResult, TaskResults, Value

ray: Any = None
with suppress(ImportError):  # where it is not installed, ray_cluster says so
    ray = importlib.import_module("ray")

Setup = Callable[[], tuple[Any, Callable[[Any], Any]]]
"""Called once in every worker, to which it is sent pickled: returns what the driver wants to know of the worker, and
the function that does a task."""

_MAX_ATTEMPTS = 3
_WAIT_OTHERS = 60  # seconds that other workers may take after the setup of one has failed
_WAIT_NOTICE = 30  # seconds after which a message says what is waited for
_OBJECT_STORE = 256 << 20  # bytes, for the few tasks and results that are in transit


class WorkerLostError(ImageError):
    """Every worker that tried a task died: there is no result for its images."""


class _SetupError(Exception):
    """A worker cannot do any task, for the ``reason`` that its setup gave."""

    def __init__(self, reason: CnnvizError) -> None:
        super().__init__(reason)
        self.reason = reason


@contextmanager
def ray_cluster(address: str | None, cpus: int | None) -> Iterator[tuple[int, int]]:
    """The numbers of CPUs and GPUs of a cluster: that at ``address``, or one with ``cpus`` CPUs on this machine.

    This process is connected to it inside the block, and a cluster that it started ends with the block. Raises
    UsageError if Ray is not installed or no cluster answers.
    """
    if ray is None:
        raise UsageError("Ray is not installed: pip install 'cnnviz[ray]'.")
    is_own = not ray.is_initialized()
    if is_own:
        _init(address or os.environ.get("RAY_ADDRESS"), cpus)
    try:
        resources = ray.cluster_resources()
        yield int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
    finally:
        if is_own:
            ray.shutdown()


def _init(address: str | None, cpus: int | None) -> None:
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
        with suppress(ValueError):  # not in the main thread
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


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class _Worker:
    """The actor: runs in a worker's process."""

    def __init__(self, setup: Setup) -> None:
        from cnnviz.runtime.malloc import tune_malloc

        tune_malloc()  # the process is ours
        self._ready = _attempt(setup)

    def start(self) -> TaskResult:
        return _attempt(lambda: self._ready.get()[0])

    def do(self, payload: Any) -> TaskResult:
        if isinstance(self._ready.error, CnnvizError):
            return TaskResult(None, error=_SetupError(self._ready.error))
        return _attempt(lambda: self._ready.get()[1](payload))


def _attempt(action: Callable[[], Any]) -> TaskResult:
    """The value of ``action``, or its error in a form that can be pickled."""
    try:
        return TaskResult(None, action())
    except CnnvizError as error:
        return TaskResult(None, error=error)
    except Exception as error:  # a bug: its class may not be importable here, so its traceback travels as text
        return TaskResult(None, error=RuntimeError("".join(traceback.format_exception(error))))


@dataclass
class RayExecutor(Generic[Task, Value]):
    """Runs tasks on ``count`` workers of the connected cluster.

    Args:
        setup: loads what a worker needs, in the worker.
        count: number of workers.
        pack: turns a task into what is sent; called just before sending.
        on_event: called with a sentence when a worker is lost, or when the first is long in starting.
        cpus: CPUs of its machine that each worker takes.
        gpus: the same for GPUs.
        max_concurrency: tasks that a worker has at a time: one computes, others do I/O.
    """

    setup: Setup
    count: int
    pack: Callable[[Task], Any]
    on_event: Callable[[str], None]
    cpus: int = 1
    gpus: int = 0
    max_concurrency: int = 1
    workers: list[Any] = field(default_factory=list)
    _left_out: list[Any] = field(default_factory=list, init=False)

    def start(self) -> Any:
        """Start the workers; returns the info of the first that is ready.

        Workers whose setup fails, as where a machine lacks a file, are left out. Raises what the first raised if all
        fail.
        """
        answers = {self._start_worker(): self.workers[-1] for _ in range(self.count)}
        if not ray.wait(list(answers), timeout=_WAIT_NOTICE)[0]:
            self.on_event("Still waiting for the cluster to start a first worker.")
        reasons: list[Exception] = []
        while answers:
            ready, _ = ray.wait(list(answers), timeout=_WAIT_OTHERS if reasons else None)
            if not ready:
                break
            worker, result = answers.pop(ready[0]), ray.get(ready[0])
            if not isinstance(result.error, CnnvizError):
                for reason in reasons:
                    self._tell_left_out(reason)
                return result.get()
            reasons.append(result.error)
            self._leave_out(worker)
        raise reasons[0]

    def _leave_out(self, worker: Any) -> None:
        """Give no more tasks to a worker whose setup failed."""
        if worker in self.workers:
            self.workers.remove(worker)
            self._left_out.append(worker)

    def _tell_left_out(self, reason: Exception) -> None:
        self.on_event(f"A worker is left out: {reason}")

    def _start_worker(self) -> Any:
        """Start a worker; returns the pending answer of its ``start``."""
        options = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_concurrency": self.max_concurrency}
        self.workers.append(ray.remote(_Worker).options(**options).remote(self.setup))
        return self.workers[-1].start.remote()

    def close(self) -> None:
        """Kill the workers, whatever they are doing."""
        for workers in (self.workers, self._left_out):
            while workers:
                ray.kill(workers.pop())

    def run(self, tasks: Sequence[Task], *, ordered: bool = True) -> TaskResults[Task, Value]:
        """Each task's result. A few tasks a worker are sent, or done and not yet returned, at any time.

        A task that lost its worker gets an idle one for itself: should that die too, no other task counts it.
        """
        waiting, losses = deque(range(len(tasks))), Counter[int]()
        sent: dict[Any, tuple[int, Any]] = {}
        done: dict[int, TaskResult[Task, Value]] = {}
        limit, returned = self.max_concurrency + 1, 0  # one more than it works on, so that it need not wait
        while waiting or sent or done:
            while waiting and waiting[0] < returned + 4 * self.count * limit:
                load = Counter[Any]()
                for index, worker in sent.values():
                    load[worker] += limit if losses[index] else 1
                worker = min(self.workers, key=load.__getitem__)
                if load[worker] >= (1 if losses[waiting[0]] else limit):
                    break
                index = waiting.popleft()
                sent[worker.do.remote(self.pack(tasks[index]))] = index, worker
            for answer in ray.wait(list(sent))[0]:
                index, worker = sent.pop(answer)
                try:
                    result = ray.get(answer)
                    if isinstance(result.error, _SetupError):
                        waiting.appendleft(index)
                        self._refused(worker, result.error.reason)
                    else:
                        done[index] = replace(result, task=tasks[index])
                except ray.exceptions.RayError as error:
                    self._replace(worker)
                    losses[index] += 1
                    message = f"{losses[index]} workers were lost over it: {_first_line(error)}"
                    if losses[index] < _MAX_ATTEMPTS:
                        waiting.appendleft(index)
                    else:
                        done[index] = TaskResult(tasks[index], error=WorkerLostError(message))
            for index in itertools.takewhile(done.__contains__, itertools.count(returned)) if ordered else list(done):
                returned += 1
                yield done.pop(index)

    def _refused(self, worker: Any, reason: Exception) -> None:
        """Leave out a worker whose setup failed after others had begun; its error if it was the last."""
        if worker in self.workers:
            self._leave_out(worker)
            self._tell_left_out(reason)
        if not self.workers:
            raise reason

    def _replace(self, worker: Any) -> None:
        if worker in self.workers:
            self.workers.remove(worker)
            self.on_event("A worker was lost; another takes its place.")
            self._start_worker()
