"""What becomes of a task, on whatever engine it ran."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

Task = TypeVar("Task")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Outcome(Generic[Task, Value]):
    """A task with what it gave, or with the error that ended it."""

    task: Task
    value: Value | None = None
    error: Exception | None = None

    def get(self) -> Value:
        """The value; raises the error instead if there is one."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


Outcomes = Generator[Outcome[Task, Value], None, None]
"""What a run yields, one outcome after another."""


class Engine(Protocol[Task, Value]):
    """What runs tasks. Closing the iterator early stops the work and waits until nothing of it runs any more."""

    def run(self, tasks: Sequence[Task], *, ordered: bool = True) -> Outcomes[Task, Value]:
        """Each task's outcome: in the order of the tasks, or as they are done."""
        ...
