"""A program as a network: each call writes images, starts it, and reads the scores that it prints."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Sequence
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from cnnviz.errors import ImageError, ModelError, UsageError, shortened
from cnnviz.imaging.png import encode_png
from cnnviz.network.black_box import BlackBox
from cnnviz.network.label_files import read_labels
from cnnviz.network.network import Network
from cnnviz.network.programs.replies import Classes, ReplyError, Row, rows_of
from cnnviz.network.programs.template import CommandTemplate
from cnnviz.network.spec import InputSpec, WeightsInfo
from cnnviz.runtime.calls_together import call_together
from cnnviz.runtime.child_process import Finished, run_child

TIMEOUT = 600.0
"""Seconds that a call may take."""

_MOST_PER_CALL = 256
_CHANNELS = (1, 3, 4)  # that PNG files have
_SIDE = 224

Value = TypeVar("Value")


def load_program(
    command: str,
    labels: str | Path | Sequence[str] | None = None,
    *,
    size: int | None = None,
    channels: int = 3,
    timeout: float = TIMEOUT,
    jobs: int = 1,
) -> Network:
    """A program as a network: anything with a command line that classifies PNG files.

    Its scores are probabilities, or whatever it prints, and are shown as they are. It has no gradients and no layers:
    ``occlusion``, ``deletion_curve`` and ``insertion_curve`` work on it. It sees pixels rounded to 8 bits.

    The program is called at once with a gray image, to know its classes. It prints a line of JSON for each image, such
    as ``{"input": "0001.png", "scores": {"cat": 0.9, "dog": 0.1}}``, which may leave ``input`` out where lines are in
    the order of the images; each line has all classes. See docs/programs.md for the other shapes.

    Args:
        command: the program with its arguments, split as a shell splits them but not run by one. ``{frames}`` stands
            for the path of a folder of PNG files, ``{}`` for the path of one PNG file, and ``-`` for PNG files one
            after another on standard input.
        labels: class names, or a file of them; those of its first reply if None.
        size: shorter side in pixels that images are brought to; 224 if None.
        channels: of its images: 1 (gray), 3 (RGB) or 4.
        timeout: seconds that a call may take; 0 for no limit.
        jobs: calls at the same time.

    Raises:
        UsageError: a command line without a place for images, or that cannot be split.
        ModelError: the program cannot be started, or its first call fails. Each later call that fails raises
            ImageError.

    Example:
        >>> import shlex, sys, cnnviz
        >>> script = 'import json; print(json.dumps({"scores": {"cat": 0.9, "dog": 0.1}}))'
        >>> network = cnnviz.load_program(shlex.join([sys.executable, "-c", script, "{}"]))
        >>> network.labels, network.has_gradients
        (('cat', 'dog'), False)
    """
    if channels not in _CHANNELS:
        raise UsageError(f"A program gets PNG files, which have 1, 3 or 4 channels, not {channels}.")
    names = read_labels(labels) if isinstance(labels, str | Path) else labels
    program = Program(CommandTemplate.parse(command), names, timeout, jobs)
    spec = InputSpec(size or _SIDE, channels=channels, mean=(0.0,) * channels, std=(1.0,) * channels)
    found = program.first_reply(np.full((spec.size, spec.size, channels), 128, np.uint8))
    return Network(program, program.name, found.labels, spec, WeightsInfo("program"), activation="none")


class Program(BlackBox):
    """Scores (N, classes) that a program prints for images (N, C, H, W) in [0, 1], written as PNG files of 8 bits.

    Args:
        template: its command line.
        labels: the names of its classes; those of its first reply if None.
        timeout: seconds that a call may take; 0 for no limit.
        jobs: calls at the same time.
    """

    is_normalized = False
    remedy_of_unknown_class = "all_classes"
    unused_settings = (
        *BlackBox.unused_settings,
        "mean",
        "std",
        "input_range",
        "input_channels",
        "logits",
        "activation",
    )

    def __init__(self, template: CommandTemplate, labels: Sequence[str] | None, timeout: float, jobs: int) -> None:
        super().__init__()
        self.template, self.timeout, self.name = template, timeout, template.name
        self.most_per_call = 1 if template.passing == "file" else _MOST_PER_CALL
        self._labels = labels
        self._classes: Classes | None = None
        self.allow(jobs)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_slots"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.allow(self.calls_at_once)

    def allow(self, calls: int) -> None:
        self.calls_at_once = calls
        self._slots = threading.BoundedSemaphore(calls)

    def first_reply(self, frame: NDArray[np.uint8]) -> Classes:
        """Its classes, by its reply to one image (H, W, C); ModelError if that fails."""
        try:
            ((row,),) = self._call([partial(self._rows, frame[None])])
            self._classes = self._checked(lambda: Classes.of_first(row, self._labels))
            self._checked(partial(self._classes.scores, row))
        except ImageError as error:
            raise ModelError(str(error), remedy=error.remedy, **error.values) from error
        return self._classes

    def forward(self, x: Tensor) -> Tensor:
        frames = (x.detach().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
        each = min(self.most_per_call, ceil(len(frames) / self.calls_at_once))
        parts = [frames[start : start + each] for start in range(0, len(frames), each)]
        scores = self._call([partial(self._scores, part) for part in parts])
        return torch.tensor([row for part in scores for row in part], dtype=x.dtype, device=x.device)

    def _call(self, calls: Sequence[Callable[[], Value]]) -> list[Value]:
        return call_together(calls, self.calls_at_once, self._slots)

    def _scores(self, frames: NDArray[np.uint8]) -> list[list[float]]:
        """The scores of each of some frames (N, H, W, C), by one call."""
        assert self._classes is not None
        rows, classes = self._rows(frames), self._classes
        return self._checked(lambda: [classes.scores(row) for row in rows])

    def _rows(self, frames: NDArray[np.uint8]) -> list[Row]:
        names = [f"{number:04}.png" for number in range(1, len(frames) + 1)]
        finished = self._run(frames, names)
        if finished.is_late:
            raise self._failed(finished.problem, finished.stderr, remedy="longer_calls")
        if finished.problem:
            raise self._failed(finished.problem, finished.stderr)
        is_named = self.template.passing == "folder"
        return self._checked(partial(rows_of, finished.stdout, names, is_named=is_named), finished.stderr)

    def _run(self, frames: NDArray[np.uint8], names: Sequence[str]) -> Finished:
        """Write the frames into a folder of their own, and run the program on them."""
        with tempfile.TemporaryDirectory(prefix="cnnviz-", ignore_cleanup_errors=True) as place:
            folder = Path(place, "frames")
            stdin = Path(place, "frames.bin") if self.template.passing == "stdin" else None
            try:
                folder.mkdir()
                files = [_png(frame) for frame in frames]
                if stdin:
                    stdin.write_bytes(b"".join(files))
                else:
                    for name, content in zip(names, files, strict=True):
                        (folder / name).write_bytes(content)
            except OSError as error:
                raise ImageError(f"The images for {self.name} cannot be written: {error.strerror}.") from error
            command = self.template.filled(folder / names[0] if self.template.passing == "file" else folder)
            try:
                return run_child(command, Path(place), stdin=stdin, timeout=self.timeout)
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or str(error)
                hint = "; ~ and $ mean nothing here" if set("~$") & set(command[0]) else ""
                raise ModelError(f"The program '{shortened(command[0])}' cannot be started: {why}{hint}.") from error

    def _checked(self, read: Callable[[], Value], stderr: str = "") -> Value:
        """What ``read`` returns; ImageError for a reply that is not as it must be."""
        try:
            return read()
        except ReplyError as error:
            if error.is_incomplete:
                raise self._failed(str(error), stderr, remedy="all_classes") from error
            raise self._failed(str(error), stderr) from error

    def _failed(self, problem: str, stderr: str, remedy: str = "") -> ImageError:
        said = " / ".join(shortened(line, 200) for line in stderr.splitlines())
        return ImageError(f"{self.name} {problem}{f'; it says: {said}' if said else ''}.", remedy=remedy)


def _png(frame: NDArray[np.uint8]) -> bytes:
    """A frame (H, W, C) as the bytes of a PNG file."""
    return encode_png(Image.fromarray(frame[..., 0] if frame.shape[2] == 1 else frame))
