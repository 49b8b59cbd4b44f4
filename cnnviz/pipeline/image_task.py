"""Reads, processes and encodes one image: from its source to the bytes of the result.

The same code runs in the threads of this process and in the workers of a Ray cluster, so that both give the same
bytes; ``BatchItem`` goes in and ``EncodedResult`` comes out, and both can travel.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from cnnviz.errors import ImageError, MemoryShortError
from cnnviz.pipeline.config import MonitorConfig
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.outputs import OutputPath
from cnnviz.pipeline.reporter import Note, Reporter
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.pipeline.step_monitor import StepMonitor

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.imaging.image_io import ByteChunks
    from cnnviz.network.network import Network
    from cnnviz.pipeline.image_job import ImageJob
    from cnnviz.runtime.executors.task_result import Compute


@dataclass(frozen=True)
class BatchItem:
    """One image to process, and where its result goes (None: nowhere)."""

    source: ImageSource
    destination: OutputPath | None


@dataclass
class EncodedResult:
    """A ``Result`` whose images are bytes of files, ready to be written and reported."""

    metadata: dict[str, Any]
    text: Sequence[str]
    target: str
    content: bytes | ByteChunks | None = None
    sidecars: Mapping[str, bytes] = field(default_factory=dict)
    seconds: float = 0.0
    written: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


ItemError = ImageError | MemoryShortError
"""An error that concerns one image only: the others go on."""

TaskOutcome = EncodedResult | ItemError
"""The result of an item, or its error."""


Answer = TypeVar("Answer")


@runtime_checkable
class ImageTask(Protocol[Answer]):
    """What is done with each image, in two halves: what asks the network, and what is drawn of its answer.

    Tasks of many steps have ``run(network, image, monitor)`` instead, and others may be plain functions
    ``(network, image) -> Result``; those have the network to themselves. So does an ``ImageTask``, unless its attribute
    ``batchable`` is true: see ``TaskDefaults``.
    """

    def compute(self, network: Network, pixels: Tensor) -> Sequence[Answer]:
        """The answer for each of some images of one size, (N, C, H, W)."""
        ...

    def render(self, network: Network, image: LoadedImage, answer: Answer) -> Result:
        """What is written and reported of one image; runs while the network is at the next images."""
        ...


@runtime_checkable
class LongTask(Protocol):
    """What is done with each image in many steps; ``monitor`` is to be called after each."""

    def run(self, network: Network, image: LoadedImage, monitor: StepMonitor) -> Result: ...


@runtime_checkable
class ClassTask(Protocol):
    """A task that is given, before any work, the list of images and the network; see ``TrueClassTask``."""

    def for_images(self, sources: Sequence[ImageSource], reporter: Reporter) -> Any: ...

    def for_network(self, network: Network) -> Any: ...


PlainTask = Callable[["Network", LoadedImage], Result]
"""What is done with each image, as a function."""

Task = ImageTask[Any] | LongTask | PlainTask


@dataclass
class ImageWorker:
    """Processes items for one job with one network."""

    job: ImageJob
    network: Network
    task: Task

    @property
    def batchable(self) -> bool:
        """Whether several images may be computed at once, in a batch and in several threads."""
        return isinstance(self.task, ImageTask) and bool(getattr(self.task, "batchable", False))

    @contextmanager
    def threads(self) -> Iterator[int]:
        """Share torch's threads out for as long as the block lasts; gives how many images may compute at once."""
        from cnnviz.runtime.executors.threads import torch_threads

        if not self.batchable or self.network.device.type != "cpu" or self.network.black_box:
            yield 1
            return
        with torch_threads(1) as all_threads:
            yield all_threads

    def prepare(self) -> None:
        """Trace the network before worker threads start.

        Tracing the network changes how modules are called in all threads while it lasts.
        """
        if not self.network.black_box:
            getattr(self.network, "forward_pass", None)

    @cached_property
    def batch_size(self) -> int:
        """How many images of the network's own size are shown to it together: a few on a CPU, many on a GPU.

        The free memory has no say: the last bits of a result follow the batch, and are to be the same tomorrow.
        """
        from cnnviz.runtime.memory import max_batch_size, small_batch_size

        if not self.batchable or self.network.images_at_once is not None:
            return 1
        side = self.network.spec.size
        if self.network.black_box:
            return self._batch_size_at((side, side))
        if self.network.device.type == "cpu":
            return small_batch_size(self.network, side)
        return max_batch_size((side, side), side, self.network.device)

    def _batch_size_at(self, size: Sequence[int]) -> int:
        """How many images of ``size`` (height, width) share a pass: fewer from twice the network's own area on.

        On a CPU small ones stay alone: PyTorch computes a few small maps by another library than one, and where a
        sum is all but zero the other rounding switches a ReLU.
        """
        if self.network.black_box:
            return self.network.black_box.batch_size((size[0], size[1]), self.network.spec.channels)
        area, most = self.network.spec.size**2, self.batch_size
        if self.network.device.type == "cpu" and math.prod(size) < area:
            return 1
        return max(1, min(most, most * 2 * area // math.prod(size)))

    def __call__(self, items: Sequence[BatchItem], compute: Compute) -> list[TaskOutcome]:
        """The result or error of each item; those of one size are computed together where the task is batchable."""
        started = time.perf_counter()
        done: dict[int, TaskOutcome] = {}
        images: dict[int, LoadedImage] = {}
        for place, item in enumerate(items):
            try:
                images[place] = read_image(item.source, self.network, self.job.input)
            except (ImageError, MemoryShortError) as error:
                done[place] = error
        for group in _of_one_size(images):
            some = [images.pop(place) for place in group]
            results = self._results(some, [items[p] for p in group], compute)
            for place, image, result in zip(group, some, results, strict=True):
                if image.bands is not None and isinstance(result, Result):
                    result.metadata = {"shown": image.caption, **result.metadata}
                done[place] = self._encoded(items[place], result)
        each = (time.perf_counter() - started) / len(items)
        outcomes = [done[place] for place in range(len(items))]
        for outcome in outcomes:
            if isinstance(outcome, EncodedResult):
                outcome.seconds = each
        return outcomes

    def _results(
        self, images: Sequence[LoadedImage], items: Sequence[BatchItem], compute: Compute
    ) -> Iterator[Result | ItemError]:
        task = self.task
        if not isinstance(task, ImageTask):
            for image, item in zip(images, items, strict=True):
                yield capture_error(partial(compute, partial(self._run_monitored, task, image, item)))
            return
        answers = capture_error(partial(compute, partial(self._compute_answers, task, images)))
        if isinstance(answers, ImageError) and len(images) > 1:  # one of them is at fault: which?
            for image, item in zip(images, items, strict=True):
                yield from self._results([image], [item], compute)
            return
        for place, image in enumerate(images):
            if isinstance(answers, ItemError):
                yield answers
            else:
                yield capture_error(partial(task.render, self.network, image, answers[place]))

    def _run_monitored(self, task: LongTask | PlainTask, image: LoadedImage, item: BatchItem) -> Result:
        """The result of a task that has the network to itself; the job's monitor follows its steps."""
        from cnnviz.runtime.memory import translate_memory_errors

        def run() -> Result:
            if isinstance(task, LongTask):
                return task.run(self.network, image, self.job.monitor or StepMonitor(MonitorConfig()))
            return task(self.network, image)

        with translate_memory_errors(min(image.pixels.shape[2:])):
            return self.job.run_monitored(run, item, self.network)

    def _compute_answers(self, task: ImageTask[Any], images: Sequence[LoadedImage]) -> Sequence[Any]:
        """The network's answer for each image; fewer at a time where all together do not fit in memory."""
        import torch

        from cnnviz.runtime.memory import in_batches_that_fit, translate_memory_errors

        pixels = torch.cat([image.pixels for image in images])
        with translate_memory_errors(min(pixels.shape[2:])):
            most = self._batch_size_at(pixels.shape[2:]) if len(pixels) > 1 else 1
            parts = in_batches_that_fit(lambda part: task.compute(self.network, pixels[part]), len(pixels), most)
            return [answer for part in parts for answer in part]

    def _encoded(self, item: BatchItem, result: Result | ItemError) -> TaskOutcome:
        if isinstance(result, ItemError):
            return result
        return capture_error(lambda: self.job.encode(result, item, self.network))


def capture_error(action: Callable[[], Any]) -> Any:
    """The value of ``action``, or its error if that concerns one image only."""
    try:
        return action()
    except (ImageError, MemoryShortError) as error:
        return error


def _of_one_size(images: Mapping[int, LoadedImage]) -> list[list[int]]:
    groups: dict[tuple[int, ...], list[int]] = {}
    for place, image in images.items():
        groups.setdefault(tuple(image.pixels.shape), []).append(place)
    return list(groups.values())


def encode_output(
    image: Image | list[Image] | bytes, suffix: str, recipe: dict[str, Any], quality: int | None = None
) -> bytes:
    """A result's image, video or page as the bytes of a file with this suffix, a still with this quality."""
    from cnnviz.imaging.encoding import QUALITY, encode
    from cnnviz.imaging.video_io import MP4, encode_video

    if isinstance(image, bytes):
        return image
    if suffix.lower() == MP4:
        return encode_video(image if isinstance(image, list) else [image], recipe)
    return encode(image, suffix.rpartition(".")[2], recipe, quality or QUALITY)
