"""Runs one task after another in the calling thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic

from cnnviz.runtime.executors.cancellable_pool import InlinePool
from cnnviz.runtime.executors.task_result import Task, TaskResult, TaskResults, Value, Work


class SerialExecutor(Generic[Task, Value]):
    """One task after another in the calling thread."""

    def __init__(self, work: Work[Task, Value]) -> None:
        self._work = work

    def run(self, tasks: Sequence[Task], *, ordered: bool = True) -> TaskResults[Task, Value]:
        for task in tasks:
            yield TaskResult(task, self._work(task, InlinePool()))
