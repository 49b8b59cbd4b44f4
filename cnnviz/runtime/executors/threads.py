"""Runs tasks in threads of this process: the next images are read and the last ones written while the network works."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import Generic

import torch

from cnnviz.runtime.executors.cancellable_pool import CancellablePool
from cnnviz.runtime.executors.serial import SerialExecutor
from cnnviz.runtime.executors.task_result import Task, TaskResult, TaskResults, Value, Work

_MAX_THREADS = 16
_WAKE_UP = 0.5  # seconds; on Windows a waiting main thread does not see Ctrl-C


class ThreadExecutor(Generic[Task, Value]):
    """Several tasks at once: some are read and some written while ``compute_threads`` of them compute.

    Args:
        work: does one task; called in threads. An error it raises ends the run when that task's turn comes.
        threads: tasks in progress at once; at most twice as many are started and not yet returned.
        compute_threads: how many tasks compute at once; more than one only for work that is thread-safe. With one
            processor each, several images are done sooner than one after another on all processors.
    """

    def __init__(self, work: Work[Task, Value], threads: int, compute_threads: int = 1) -> None:
        self._work = work
        self._threads = threads
        self._compute_threads = min(compute_threads, threads)

    def run(self, tasks: Sequence[Task], *, ordered: bool = True) -> TaskResults[Task, Value]:
        # The first task runs alone: what is built once and cached (torch.fx graphs, color tables) is not built in a
        # race, and a wrong option is reported before anything else starts.
        yield from SerialExecutor(self._work).run(tasks[:1])
        if len(tasks) > 1:
            yield from self._run_rest(tasks[1:], ordered)

    def _run_rest(self, tasks: Sequence[Task], ordered: bool) -> TaskResults[Task, Value]:
        compute = CancellablePool(self._compute_threads)
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="task")
        remaining = iter(tasks)
        pending: dict[Future[Value], Task] = {}
        try:
            while True:
                for task in islice(remaining, 2 * self._threads - len(pending)):
                    pending[pool.submit(self._work, task, compute)] = task
                if not pending:
                    return
                done = _next_done(pending, ordered)
                yield TaskResult(pending.pop(done), done.result())
        finally:
            for future in pending:
                future.cancel()
            compute.cancel()
            pool.shutdown(wait=True)


def _next_done(pending: dict[Future[Value], Task], ordered: bool) -> Future[Value]:
    """The first of ``pending`` once it is done, or whichever is done first."""
    awaited = [next(iter(pending))] if ordered else list(pending)
    while True:
        done = wait(awaited, timeout=_WAKE_UP, return_when=FIRST_COMPLETED).done
        if done:
            return next(future for future in awaited if future in done)


@contextmanager
def torch_threads(count: int) -> Iterator[int]:
    """Sets torch's threads per operation to ``count`` inside the block; gives the number before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield before
    finally:
        torch.set_num_threads(before)


def thread_count(compute_threads: int) -> int:
    """Tasks in progress at once: those that compute, one being read and one being written; at most 16."""
    return min(compute_threads + 2, _MAX_THREADS)
