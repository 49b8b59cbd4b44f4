"""Runs tasks on the workers of a Ray cluster, each of which loads what it needs once.

A worker that dies (killed, out of memory, its machine lost) is replaced, and its tasks go to other workers. Ray's own
restarts (``max_task_retries``) are not used: they also count against tasks that waited at the worker that died.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
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


@contextmanager
def ray_cluster(address: str | None, cpus: int | None) -> Iterator[tuple[int, int]]:
    """The numbers of CPUs and GPUs of a cluster: that at ``address``, or one with ``cpus`` CPUs on this machine.

    This process is connected to it inside the block, and a cluster that it started ends with the block. Raises
    UsageError if Ray is not installed or no cluster answers.
    """
    if ray is None:
        raise UsageError("Ray is not installed: pip install 'cnnviz[ray]'.")
    with nullcontext() if ray.is_initialized() else _connection(address or os.environ.get("RAY_ADDRESS"), cpus):
        resources = ray.cluster_resources()
        yield int(resources.get("CPU", 1)), int(resources.get("GPU", 0))


def _connection(address: str | None, cpus: int | None) -> AbstractContextManager[Any]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    _check_reachable(address)
    on_termination = signal.getsignal(signal.SIGTERM)
    own = {} if address else {"num_cpus": cpus, "object_store_memory": _OBJECT_STORE, "include_dashboard": False}
    try:
        return ray.init(address=address or "local", log_to_driver=False, logging_level="CRITICAL", **own)
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
    """The Ray actor that runs in a worker's process."""

    def __init__(self, setup: Setup) -> None:
        from cnnviz.runtime.malloc import tune_malloc

        tune_malloc()  # the process is ours
        self._ready = _attempt(setup)

    def start(self) -> TaskResult:
        """The info that the setup returned, or its error."""
        return _attempt(lambda: self._ready.get()[0])

    def do(self, payload: Any) -> TaskResult | None:
        """The result of a task; None where the setup failed, so that another worker gets the task."""
        if isinstance(self._ready.error, CnnvizError):
            return None
        return _attempt(lambda: self._ready.get()[1](payload))


def _attempt(action: Callable[[], Any]) -> TaskResult:
    """The value of ``action``, or its error in a form that can be pickled."""
    try:
        return TaskResult(None, action())
    except CnnvizError as error:
        return TaskResult(None, error=error)
    except Exception as error:  # a bug: its class may not be importable here, so its traceback travels as text
        return TaskResult(None, error=RuntimeError("".join(traceback.format_exception(error))))


def _received(answer: Any) -> Any:
    """What a worker answered, or a TaskResult with a WorkerLostError."""
    try:
        return ray.get(answer)
    except ray.exceptions.RayError as error:
        return TaskResult(None, error=WorkerLostError(_first_line(error)))


@dataclass
class RayExecutor(Generic[Task, Value]):
    """Runs tasks on ``count`` workers of the connected cluster.

    Args:
        setup: loads what a worker needs, in the worker.
        count: number of workers.
        pack: turns a task into what is sent; called just before sending.
        on_event: called with a sentence when a worker is lost, or when the first is long in starting.
        options: those of a Ray actor: ``num_cpus`` and ``num_gpus`` of its machine that each worker takes, and
            ``max_concurrency``, how many tasks it has at a time: one computes, others do I/O.
    """

    setup: Setup
    count: int
    pack: Callable[[Task], Any]
    on_event: Callable[[str], None]
    options: Mapping[str, int]
    workers: list[Any] = field(default_factory=list)

    def start(self) -> Any:
        """Start the workers; returns the info of the first that is ready.

        Raises what the first raised if all fail. A worker that fails beside others, as where its machine lacks a
        file, is left out when it is given a task.
        """
        answers = [self._start_worker() for _ in range(self.count)]
        if not ray.wait(answers, timeout=_WAIT_NOTICE)[0]:
            self.on_event("Still waiting for the cluster to start a first worker.")
        reasons: list[CnnvizError] = []
        while answers:
            ready, answers = ray.wait(answers, timeout=_WAIT_OTHERS if reasons else None)
            if not ready:
                break
            result = _received(ready[0])
            if not isinstance(result.error, CnnvizError):
                return result.get()
            reasons.append(result.error)
        raise reasons[0]

    def _start_worker(self) -> Any:
        """Start a worker; returns the pending answer of its ``start``."""
        self.workers.append(ray.remote(_Worker).options(**self.options).remote(self.setup))
        return self.workers[-1].start.remote()

    def close(self) -> None:
        """Kill the workers, whatever they are doing."""
        while self.workers:
            ray.kill(self.workers.pop())

    def run(self, tasks: Sequence[Task], *, ordered: bool = True) -> TaskResults[Task, Value]:
        """Each task's result. A few tasks a worker are sent, or done and not yet returned, at any time.

        A task that lost its worker gets an idle one for itself: should that die too, no other task counts it.
        """
        waiting, losses = deque(range(len(tasks))), Counter[int]()
        sent: dict[Any, tuple[int, Any]] = {}
        done: dict[int, TaskResult[Task, Value]] = {}
        limit = self.options.get("max_concurrency", 1) + 1  # one more than it works on, so that it need not wait
        returned = 0
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
                result = _received(answer)
                if result is None:
                    self._leave_out(worker)
                elif isinstance(result.error, WorkerLostError):
                    self._replace(worker)
                    losses[index] += 1
                    error = WorkerLostError(f"{losses[index]} workers were lost over it: {result.error}")
                    result = TaskResult(None, error=error) if losses[index] == _MAX_ATTEMPTS else None
                if result is None:
                    waiting.appendleft(index)
                else:
                    done[index] = replace(result, task=tasks[index])
            while done and (not ordered or returned in done):
                yield done.pop(returned if ordered else next(iter(done)))
                returned += 1

    def _leave_out(self, worker: Any) -> None:
        """Give no more tasks to a worker whose setup failed; raises its error if it is the last."""
        if worker not in self.workers:
            return
        reason = ray.get(worker.start.remote()).error
        self.workers.remove(worker)
        self.on_event(f"A worker is left out: {reason}")
        if not self.workers:
            raise reason

    def _replace(self, worker: Any) -> None:
        if worker in self.workers:
            self.workers.remove(worker)
            self.on_event("A worker was lost; another takes its place.")
            self._start_worker()
