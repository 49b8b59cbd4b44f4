"""The engine of this process: the next pictures are read and the last ones written while the network works."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import Any, Generic

import torch

from cnnviz.runtime.batch.lanes import Lanes, NoLanes
from cnnviz.runtime.batch.outcome import Outcome, Outcomes, Task, Value

Compute = Callable[[Callable[[], Any]], Any]
"""What a task passes the part of its work that the network does: called with a function, it gives its value."""

Work = Callable[[Task, Compute], Value]
"""Does a task: reads, computes, writes."""

_MOST_THREADS = 16
_WAKE_UP = 0.5  # seconds; on Windows a waiting main thread does not see Ctrl-C


class Inline(Generic[Task, Value]):
    """One task after another in the calling thread."""

    def __init__(self, work: Work[Task, Value]) -> None:
        self._work = work

    def run(self, tasks: Sequence[Task], *, ordered: bool = True) -> Outcomes[Task, Value]:
        for task in tasks:
            yield Outcome(task, self._work(task, NoLanes()))


class Threads(Generic[Task, Value]):
    """Several tasks at once: some are read and some written while ``lanes`` of them compute.

    Args:
        work: does a task; called in threads. An error it raises ends the run, where the task's turn is.
        threads: tasks in work at once, hence pictures in memory: at most twice as many.
        lanes: how many compute at once; more than one only for work that several threads can do at once. With one
            processor each, several pictures are done sooner than one after another on all.
    """

    def __init__(self, work: Work[Task, Value], threads: int, lanes: int = 1) -> None:
        self._work = work
        self._threads = threads
        self._lanes = min(lanes, threads)

    def run(self, tasks: Sequence[Task], *, ordered: bool = True) -> Outcomes[Task, Value]:
        # The first alone: what is built once and kept (torch.fx graphs, tables of colours) is not built in a race,
        # and a mistake in the options is told of before anything else is begun.
        yield from Inline(self._work).run(tasks[:1])
        if len(tasks) > 1:
            yield from self._rest(tasks[1:], ordered)

    def _rest(self, tasks: Sequence[Task], ordered: bool) -> Outcomes[Task, Value]:
        lanes, pool = Lanes(self._lanes), ThreadPoolExecutor(self._threads, thread_name_prefix="picture")
        remaining = iter(tasks)
        pending: dict[Future[Value], Task] = {}
        try:
            while True:
                for task in islice(remaining, 2 * self._threads - len(pending)):
                    pending[pool.submit(self._work, task, lanes)] = task
                if not pending:
                    return
                done = _next_done(pending, ordered)
                yield Outcome(pending.pop(done), done.result())
        finally:
            for future in pending:
                future.cancel()
            lanes.stop()
            pool.shutdown(wait=True)


def _next_done(pending: dict[Future[Value], Task], ordered: bool) -> Future[Value]:
    """The first of ``pending``, once it is done; or whichever is done first."""
    awaited = [next(iter(pending))] if ordered else list(pending)
    while True:
        done = wait(awaited, timeout=_WAKE_UP, return_when=FIRST_COMPLETED).done
        if done:
            return next(future for future in awaited if future in done)


@contextmanager
def torch_threads(count: int) -> Iterator[int]:
    """Let torch use so many threads for one operation inside the block; gives how many it used before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield before
    finally:
        torch.set_num_threads(before)


def thread_count(lanes: int) -> int:
    """Pictures in work at once: those that compute, and one being read and one being written."""
    return min(lanes + 2, _MOST_THREADS)
