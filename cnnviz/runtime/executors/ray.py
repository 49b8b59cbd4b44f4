"""The engine of a Ray cluster: workers that each hold what they need, and take one task after another.

A worker that dies (killed, out of memory, its machine gone) is replaced, and what it had in hand goes to another.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from cnnviz.errors import CnnvizError, UsageError
from cnnviz.runtime.executors.task_result import Task, TaskResult, TaskResults, Value

Card = TypeVar("Card")

Setup = Callable[[], tuple[Card, Callable[[Any], Value]]]
"""Called once in every worker: gives a card that says what the worker is, and what does a task. It travels pickled."""

_ATTEMPTS = 3
_WAKE_UP = 1.0  # seconds between looks at whether anything has happened
_STORE = 256 << 20  # bytes; what is in flight, no more
_WAIT_NOTICE = 30  # looks in vain before saying what is waited for


class WorkerLostError(CnnvizError):
    """A task took every worker that tried it down with it."""


@dataclass(frozen=True)
class WorkerResources:
    """What a worker takes of its machine; ``at_once``: tasks it does at a time, one computing, others read or drawn."""

    processors: int = 1
    gpus: int = 0
    at_once: int = 1


@dataclass
class Cluster:
    """A connection to a cluster, or a cluster of this process's own."""

    processors: int
    gpus: int
    is_own: bool

    @staticmethod
    def connect(address: str | None, processors: int | None) -> Cluster:
        """Connect to ``address``; without one start a cluster on this machine with so many processors.

        UsageError if Ray is not installed or nothing answers there.
        """
        ray = _ray()
        if ray.is_initialized():
            is_own = False
        else:
            is_own = True
            _init(ray, address or os.environ.get("RAY_ADDRESS"), processors)
        resources = ray.cluster_resources()
        return Cluster(int(resources.get("CPU", 1)), int(resources.get("GPU", 0)), is_own)

    def close(self) -> None:
        if self.is_own:
            _ray().shutdown()


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UsageError("--engine ray needs Ray: pip install 'cnnviz[ray]'.") from error
    return ray


def _init(ray: Any, address: str | None, processors: int | None) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    _check_reachable(address)
    on_termination = signal.getsignal(signal.SIGTERM)
    own = {"num_cpus": processors, "object_store_memory": _STORE, "include_dashboard": False}
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level="CRITICAL",
            **({} if address else own),
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"at '{address}'" if address else "on this machine"
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(f"No Ray cluster could be reached {where}: {why}") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_termination)  # Ray puts its own there


def _check_reachable(address: str | None) -> None:
    """Find out at once whether anybody listens at HOST:PORT; Ray itself tries for minutes. UsageError if not."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise UsageError(f"No Ray cluster answers at '{address}': {error.strerror or error}.") from error


class _Worker:
    """What runs in a worker's process."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._ready: tuple[Any, Callable[[Any], Any]] | None = None
        self._lock = threading.Lock()

    def start(self) -> TaskResult:
        """Load what is needed; gives the card and this process's number."""
        return _attempted(lambda: (self._loaded()[0], os.getpid()))

    def do(self, payload: Any) -> TaskResult:
        return _attempted(lambda: self._loaded()[1](payload))

    def _loaded(self) -> tuple[Any, Callable[[Any], Any]]:
        with self._lock:
            self._ready = self._ready or self._setup()
            return self._ready


def _attempted(action: Callable[[], Any]) -> TaskResult:
    try:
        return TaskResult(None, action())
    except Exception as error:
        return TaskResult(None, error=_portable(error))


def _portable(error: Exception) -> Exception:
    """An error that can be sent; of one that is a bug, with where it happened."""
    if isinstance(error, CnnvizError):
        return type(error)(*error.args)
    return RuntimeError(f"{type(error).__name__}: {error}\n{''.join(traceback.format_exception(error))}")


@dataclass
class _WorkerHandle:
    """A worker as the driver sees it."""

    actor: Any
    process: int = 0
    busy: int = 0


@dataclass
class _PendingTask(Generic[Task]):
    """A task that is still to come back."""

    index: int
    task: Task
    losses: int = 0
    hand: _WorkerHandle | None = None


@dataclass
class Workers(Generic[Card, Task, Value]):
    """So many workers of a cluster.

    Args:
        setup: builds what a worker needs, in the worker.
        count: how many.
        share: what each takes of its machine.
        pack: from a task to what travels; called shortly before it goes.
        on_event: told, in a sentence, of workers that were lost or are waited for.
    """

    setup: Setup
    count: int
    share: WorkerResources
    pack: Callable[[Task], Any]
    on_event: Callable[[str], None]
    hands: list[_WorkerHandle] = field(default_factory=list)

    def start(self) -> Card:
        """Bring up the workers; what the first says of itself. Raises what its setup raised."""
        starts = [self._bring_up() for _ in range(self.count)]
        return self._started(starts[0])

    def _bring_up(self) -> Any:
        """A new worker, told to start; what it will answer."""
        options = {"num_cpus": self.share.processors, "num_gpus": self.share.gpus}
        actor = _ray().remote(_Worker).options(max_concurrency=self.share.at_once, **options).remote(self.setup)
        hand = _WorkerHandle(actor)
        self.hands.append(hand)
        return hand, actor.start.remote()

    def _started(self, start: tuple[_WorkerHandle, Any]) -> Card:
        ray = _ray()
        hand, answer = start
        for look in range(1, 1_000_000):
            if ray.wait([answer], timeout=_WAKE_UP)[0]:
                break
            if look == _WAIT_NOTICE:
                self.on_event("Still waiting for the cluster to give a first worker the room it needs.")
        card, hand.process = ray.get(answer).get()
        return card

    def stop(self) -> None:
        """End the workers, in the middle of whatever they do."""
        for hand in self.hands:
            _ray().kill(hand.actor)
        self.hands.clear()

    def run(self, tasks: Sequence[Task], *, ordered: bool = True) -> TaskResults[Task, Value]:
        """Each task's outcome; at most a few tasks for each worker are in flight or done and not yet asked for."""
        ray = _ray()
        flights = [_PendingTask(index, task) for index, task in enumerate(tasks)]
        waiting = deque(flights)
        flying: dict[Any, _PendingTask[Task]] = {}
        done: dict[int, TaskResult[Task, Value]] = {}
        told = 0
        while waiting or flying or done:
            while waiting and (hand := self._free_hand(waiting[0])) and waiting[0].index < told + self._window:
                flight = waiting.popleft()
                flying[self._send(flight, hand)] = flight
            for answer in ray.wait(list(flying), timeout=_WAKE_UP)[0]:
                flight = flying.pop(answer)
                outcome = self._received(flight, answer)
                if outcome is None:
                    waiting.appendleft(flight)
                else:
                    done[flight.index] = outcome
            for index in _due(done, told, ordered):
                told += 1
                yield done.pop(index)

    @property
    def _window(self) -> int:
        return 4 * self.count * (self.share.at_once + 1)

    def _free_hand(self, flight: _PendingTask[Task]) -> _WorkerHandle | None:
        """The least busy worker that may have one task more; a task that saw its worker die is given to an idle one."""
        hand = min(self.hands, key=lambda hand: hand.busy)
        most = 1 if flight.losses else self.share.at_once + 1
        return hand if hand.busy < most else None

    def _send(self, flight: _PendingTask[Task], hand: _WorkerHandle) -> Any:
        hand.busy += 1
        flight.hand = hand
        return hand.actor.do.remote(self.pack(flight.task))

    def _received(self, flight: _PendingTask[Task], answer: Any) -> TaskResult[Task, Value] | None:
        """What became of a task; None if its worker was lost and it is to be tried again."""
        ray = _ray()
        assert flight.hand is not None
        flight.hand.busy -= 1
        try:
            outcome = ray.get(answer)
        except ray.exceptions.RayError as error:
            self._replace(flight.hand)
            flight.losses += 1
            if flight.losses < _ATTEMPTS:
                return None
            why = str(error).strip().splitlines()[0]
            return TaskResult(flight.task, error=WorkerLostError(f"{flight.losses} workers were lost over it: {why}"))
        return TaskResult(flight.task, outcome.value, outcome.error)

    def _replace(self, hand: _WorkerHandle) -> None:
        if hand in self.hands:
            self.hands.remove(hand)
            self.on_event("A worker was lost; another takes its place.")
            self._bring_up()


def _due(done: dict[int, Any], told: int, ordered: bool) -> Iterator[int]:
    """Which outcomes are to be told now."""
    if not ordered:
        yield from list(done)
        return
    while told in done:
        yield told
        told += 1
