"""An executor with what a job needs to know of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnviz.pipeline.image_task import BatchItem, TaskOutcome
from cnnviz.pipeline.recipe import AnyNetwork

if TYPE_CHECKING:
    from cnnviz.runtime.executors.task_result import Executor


@dataclass
class Execution:
    """An executor ready to work, what is known of its network, and how many images it is given at a time."""

    executor: Executor[Sequence[BatchItem], list[TaskOutcome]]
    network: AnyNetwork
    batch_size: int = 1
    is_remote: bool = False
    has_quick_calls: bool = True
