"""The base class of tasks, with their defaults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, TypeVar

from cnnviz.network.default_model import Purpose
from cnnviz.runtime.workload import Workload

if TYPE_CHECKING:
    from cnnviz.pipeline.config import MonitorConfig
    from cnnviz.pipeline.step_monitor import StepMonitor

Task = TypeVar("Task", bound="TaskDefaults")


class TaskDefaults:
    """Defaults of a task.

    Attributes:
        purpose: what the network is loaded for, which decides what model ``auto`` is: ``attribution`` and ``features``
            take ResNet-50, ``style``, ``texture`` and ``inversion`` VGG-19, ``dream`` GoogLeNet.
        workload: how exact the network's numbers must be, which decides what precision ``auto`` is: ``exact`` fp32;
            ``forward`` and ``scores``, of forward passes only, TF32 where the GPU has it; ``training`` fp32;
            ``synthesis``, of optimized images, the fastest of the device. The last three may compute convolutions in
            fewer multiplications.
        writes: whether results are files.
        needs_gradients: whether the network must have gradients, which programs and ONNX files have not.
        has_numbers: whether results hold arrays, which are written as .npy and .npz files.
        photos_only: for tasks of networks that take photos, in color or gray, what they make, as ``A dream``; empty for
            tasks that take images of any channels.
        several_sizes: whether it shows the network images of several sizes.
    """

    purpose: ClassVar[Purpose] = "attribution"
    workload: ClassVar[Workload] = "exact"
    writes: ClassVar[bool] = True
    needs_gradients: ClassVar[bool] = False
    has_numbers: ClassVar[bool] = False
    photos_only: ClassVar[str] = ""
    several_sizes: ClassVar[bool] = False

    @property
    def batchable(self) -> bool:
        """Whether several images may be computed at once, in a batch and in several threads.

        For tasks that take a pass or two through the network. Many images come in batches, small ones on a CPU; the
        last bits of a result may then follow the batch. On the CPU each pass has one processor to itself, on whatever
        machine, since the last bits depend on how many share the work.
        """
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
