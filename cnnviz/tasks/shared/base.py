"""What every task has unless it says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, TypeVar

if TYPE_CHECKING:
    from cnnviz.pipeline.config import MonitorConfig
    from cnnviz.pipeline.step_monitor import StepMonitor

Task = TypeVar("Task", bound="TaskDefaults")


class TaskDefaults:
    """Defaults of a task.

    Attributes:
        technique: what the network is for; decides what the model ``auto`` is.
        workload: what the network is used for, which decides what precision ``auto`` is.
        writes: whether results are files.
    """

    technique: ClassVar[str] = "attribution"
    workload: ClassVar[str] = "exact"
    writes: ClassVar[bool] = True

    @property
    def parallel(self) -> bool:
        """Whether several threads may compute at once: for tasks that take a pass or two through the network."""
        return True

    @property
    def sidecars(self) -> Sequence[str]:
        """The suffixes of the files written beside the image."""
        return ()

    @property
    def suffix(self) -> str:
        """The format where no name tells it."""
        return ".png"

    def monitor(self, config: MonitorConfig) -> StepMonitor:
        """What is called after each step of a task of many steps."""
        from cnnviz.pipeline.step_monitor import StepMonitor

        return StepMonitor(config)

    def with_files(self: Task) -> Task:
        """The task with the files that its settings name read, so that it can run where they are not."""
        return self
