"""The result of one task, and the protocols of tasks and executors."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

Task = TypeVar("Task")
Value = TypeVar("Value")


@dataclass(frozen=True)
class TaskResult(Generic[Task, Value]):
    """A task with its value, or with the error that ended it."""

    task: Task
    value: Value | None = None
    error: Exception | None = None

    def get(self) -> Value:
        """The value; raises the error instead if there is one."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


TaskResults = Generator[TaskResult[Task, Value], None, None]
"""The results of a run, one after another."""

Compute = Callable[[Callable[[], Any]], Any]
"""Calls a function in a compute thread, waits for it, and returns its value."""

Work = Callable[[Task, Compute], Value]
"""Does one task: reads, computes (by calling its second argument), writes."""


class Executor(Protocol[Task, Value]):
    """Runs tasks. Closing the iterator early cancels the rest and waits until nothing of it runs any more."""

    def run(self, tasks: Sequence[Task], *, ordered: bool = True) -> TaskResults[Task, Value]:
        """Each task's result, in the order of the tasks or (``ordered=False``) as they finish."""
        ...
