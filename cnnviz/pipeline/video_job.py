"""Runs a task over videos, frame by frame; the result is a video."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cnnviz.errors import ImageError, IncompleteError, UsageError
from cnnviz.pipeline import outputs
from cnnviz.pipeline.config import ImageConfig
from cnnviz.pipeline.execution import Execution
from cnnviz.pipeline.image_job import ImageJob
from cnnviz.pipeline.image_loading import prepare_image
from cnnviz.pipeline.image_task import BatchItem, EncodedResult, Task, TaskOutcome, capture_error
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.outputs import OutputPath
from cnnviz.pipeline.result import Result
from cnnviz.pipeline.result_files import make_folder
from cnnviz.runtime.paths import is_folder, path_exists

if TYPE_CHECKING:
    from PIL.Image import Image

    from cnnviz.network.network import Network
    from cnnviz.runtime.executors.task_result import Compute

VIDEO = ".mp4"

Options = TypeVar("Options", bound=ImageConfig)


def split_videos(options: Options) -> tuple[Options, Options]:
    """The inputs named that are not videos, and those that are, by their extensions."""
    from cnnviz.imaging.video_io import VIDEO_SUFFIXES

    named = list(options.images or [])
    videos = [name for name in named if Path(name).suffix.lower() in VIDEO_SUFFIXES and not is_folder(name)]
    photos = [name for name in named if name not in videos]
    return replace(options, images=photos), replace(options, images=videos, files_from=None)


@dataclass
class VideoJob(ImageJob):
    """A command over videos, frame by frame: ``VideoJob(..., suffix=".mp4")``."""

    def __call__(self, task: Task) -> None:
        from cnnviz.imaging.video_io import require_ffmpeg

        if self.batch.engine == "ray":
            raise UsageError(
                "A video is changed here, frame by frame, not by the workers of a cluster.", remedy="local_engine"
            )
        require_ffmpeg()
        if self.output and self.output.output == outputs.STDOUT:
            raise UsageError("A video is not written to standard output.", remedy="output_video")
        super().__call__(task)

    def _plan_outputs(self, sources: list[ImageSource], model: str) -> Sequence[OutputPath | None]:
        destinations = super()._plan_outputs(sources, model)
        for destination in destinations:
            if destination and Path(destination.template).suffix.lower() != VIDEO:
                raise UsageError(f"The output '{destination.template}' is not a video; it is written as {VIDEO}.")
        return destinations

    @contextmanager
    def _execution(self, model: str, task: Task, items: Sequence[BatchItem]) -> Iterator[Execution]:
        """An executor that does one video after another in this process."""
        from cnnviz.runtime.executors.serial import SerialExecutor

        network = self.load(model)

        def work(some: Sequence[BatchItem], compute: Compute) -> list[TaskOutcome]:
            return [capture_error(partial(self._changed, item, network, task)) for item in some]

        yield Execution(SerialExecutor(work), network)

    def _save(self, item: BatchItem, value: TaskOutcome) -> TaskOutcome:
        return value

    def _changed(self, item: BatchItem, network: Network, task: Task) -> EncodedResult:
        """The video with each frame changed, written frame by frame."""
        from cnnviz.imaging.image_io import ByteChunks
        from cnnviz.imaging.video_io import transform_video

        assert item.destination is not None and item.source.path is not None
        started = time.perf_counter()
        path, last = item.destination.path(), Result()
        if path_exists(path) and path.samefile(item.source.path):
            raise ImageError(f"'{path}' is the input itself; nothing was written.")
        make_folder(path.parent)

        def change(frame: Image) -> Image:
            nonlocal last
            last = task(network, prepare_image(item.source, frame, network, self.input))  # type: ignore[operator]
            assert not isinstance(last.image, list | bytes | ByteChunks | None)
            return last.image

        count = transform_video(item.source.path, path, change, self._recipe(Result(), item.source, network))
        self.reporter.detail(f"{path}: {count} frames.")
        metadata = {**last.metadata, "frames": count}
        return EncodedResult(
            metadata, last.text, last.target, seconds=time.perf_counter() - started, written=[str(path)]
        )


def run_all(jobs: Sequence[tuple[ImageJob, Task]]) -> None:
    """Run several jobs with their tasks, each to its end; the highest exit code of those that failed.

    Where there are several, the outputs of all are settled before the first begins.
    """
    failures = []
    for job, _ in jobs if len(jobs) > 1 else ():
        job.check_outputs()
    for job, task in jobs:
        try:
            job(task)
        except IncompleteError as end:
            failures.append(end.exit_code)
    if failures:
        raise IncompleteError(max(failures))


def has_any(options: ImageConfig) -> bool:
    """Whether any input is named."""
    named: Sequence[str] = options.images or []
    return bool(named or options.files_from)
