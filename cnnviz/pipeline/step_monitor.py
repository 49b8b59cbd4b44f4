"""StepMonitor: progress bar, snapshots, GIF and partial result of long optimizations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cnnviz.errors import ImageError, Remark
from cnnviz.pipeline.config import MonitorConfig
from cnnviz.pipeline.recipe import COMPANION, MAIN, SNAPSHOT, UNFINISHED
from cnnviz.pipeline.reporter import Reporter, SilentReporter
from cnnviz.pipeline.result import Result
from cnnviz.runtime.cancellation import check_cancelled
from cnnviz.runtime.paths import is_file, is_folder

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.runtime.progress import Step

ANIMATION_SUFFIX = ".gif"
STATE = ".state"
"""The suffix of the file from which an interrupted run can be resumed."""
_FRAMES, _FRAME_SIDE, _FRAME_MS, _LAST_MS = 40, 256, 80, 1500


def _image(pixels: Tensor) -> Image:
    from cnnviz.figures.visualization import image_or_grid

    return image_or_grid(pixels)


@dataclass
class StepMonitor:
    """An ``on_step`` callback. ``finish`` turns pixels so far into the image that is shown for them.

    A job of several images sets ``sheet``, which gives the sheet of those ``done`` and, if any, the one begun;
    ``state`` is the file from which an interrupted run can be resumed, once it is written.
    """

    saves_last: ClassVar[bool] = False
    """Whether the last step has a snapshot too, where what is written at the end is not the image."""

    config: MonitorConfig
    finish: Callable[[Tensor], Image] = _image
    sheet: Callable[[Image | None], Image] | None = field(default=None, init=False)
    done: list[str] = field(default_factory=list, init=False)
    state: Path | None = field(default=None, init=False)
    reporter: Reporter = field(default_factory=SilentReporter, init=False)
    _last: Step | None = field(default=None, init=False)
    _frames: list[Image] = field(default_factory=list, init=False)
    _path: Path | None = field(default=None, init=False)
    _recipe: dict[str, Any] = field(default_factory=dict, init=False)
    _force: bool = field(default=False, init=False)
    _bar: Any = field(default=None, init=False)
    _advance: Callable[[str], None] | None = field(default=None, init=False)

    @property
    def suffixes(self) -> list[str]:
        """The suffixes of what is written beside the image."""
        return [ANIMATION_SUFFIX] if self.config.gif else []

    @property
    def path(self) -> Path | None:
        """Where the image of the run that is watched will be written; None if that is not known beforehand."""
        return self._path

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The command's parameters that differ from their defaults, as the recipe of the run tells them."""
        found: Mapping[str, Any] = self._recipe.get("parameters", {})
        return found

    @contextmanager
    def monitoring(
        self, path: Path | None, recipe: dict[str, Any], reporter: Reporter, *, force: bool
    ) -> Iterator[None]:
        """Monitor one run whose image will be written to ``path`` (None: not to a file known beforehand)."""
        self._last, self._frames = None, []
        self.sheet, self.done, self.state = None, [], None
        self._path, self._recipe, self._force = path, recipe, force
        self.reporter = reporter
        if path is None:
            reporter.unused("save_every", why="where the name of the output is not known beforehand")
        self._refuse_old_snapshots()
        try:
            yield
        finally:
            self._close_bar()

    def _refuse_old_snapshots(self) -> None:
        """Raise an error before the work begins if a snapshot would overwrite one of an earlier run."""
        if not self.config.save_every or self._path is None or self._force:
            return
        if self.config.resume and is_file(self._path.with_suffix(STATE)):
            self._force = True  # the snapshots are of the run that is resumed, which may make the last ones again
            return
        pattern = re.compile(re.escape(self._path.stem) + r"-\d{4,}" + re.escape(self._path.suffix))
        folder = self._path.parent
        for place in sorted(folder.iterdir()) if is_folder(folder) else []:
            if pattern.fullmatch(place.name):
                raise ImageError(f"'{place}' is a snapshot of an earlier run.", remedy="overwrite")

    def __call__(self, step: Step) -> None:
        """Called by the task after every step."""
        check_cancelled()
        self._last = step
        self._report_workers(step)
        if step.image is None:
            return
        if self.config.save_every and self._is_saved(step):
            self._save(step)
        if self.config.gif and self._is_frame(step):
            self._frames.append(_small(self.finish(step.image())))

    def _is_saved(self, step: Step) -> bool:
        return self.saves_last if step.step == step.total else step.step % self.config.save_every == 0

    def _is_frame(self, step: Step) -> bool:
        return step.step == step.total or step.step % max(1, step.total // _FRAMES) == 0

    def _report_workers(self, step: Step) -> None:
        if self._advance is None:
            if step.total <= self.config.save_every and not self.saves_last:
                self.reporter.unused("save_every", why=f"before the last step, {step.total}")
            self._bar = self.reporter.progress(step.total, "steps")
            self._advance = self._bar.__enter__()
        # Reading a number from a device waits for it, so the words are made only where they are seen.
        words = "" if not self.reporter.shows_progress else "  ".join(f"{k} {v:.4g}" for k, v in step.terms.items())
        self._advance(words)
        if step.step == step.total:
            self._close_bar()

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
        self._bar = self._advance = None

    def _save(self, step: Step) -> None:
        """A snapshot beside the image to come: ``cat.dream-0040.png``."""
        from cnnviz.imaging.image_io import write_image

        if self._path is None or step.image is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        place = self._path.with_name(f"{self._path.stem}-{step.step:04d}{self._path.suffix}")
        recipe = {**self._recipe, UNFINISHED: step.step, SNAPSHOT: True}
        write_image(self.finish(step.image()), place, recipe, force=self._force)
        self.reporter.detail(f"{place} holds step {step.step} of {step.total}.")

    def sidecars(self) -> Mapping[str, bytes]:
        """The animation, if one was asked for."""
        from cnnviz.imaging.encoding import encode

        if not self._frames:
            return {}
        last = self._frames[-1]
        frames = [frame if frame.size == last.size else frame.resize(last.size) for frame in self._frames]
        held = [last] * (_LAST_MS // _FRAME_MS)
        main = self._path.suffix if self._path else ".png"
        parameters = {"gif": True, **self._recipe.get("parameters", {})}
        recipe = {**self._recipe, "parameters": parameters, COMPANION: ANIMATION_SUFFIX, MAIN: main}
        return {ANIMATION_SUFFIX: encode([*frames, *held], "gif", recipe, duration=_FRAME_MS)}

    def part_is_done(self, name: str) -> None:
        """Called when one image of a sheet is finished."""
        self.done.append(name)
        self._last = None

    def partial_result(self) -> Result | None:
        """The image, or the sheet, as it was when the job was interrupted; None if there was none yet."""
        begun = self.finish(self._last.image()) if self._last is not None and self._last.image is not None else None
        if begun is None and not self.done:
            return None
        image = self.sheet(begun) if self.sheet is not None and self.done else begun
        facts = {UNFINISHED: self._last.step if self._last is not None else 0}
        return Result(facts, image, recipe=facts)

    def summary(self, written: str) -> Remark:
        """What an interrupted run has written, and how to continue it; empty if nothing."""
        sentences = []
        if written:
            what = f"{', '.join(self.done)} finished" if self.done else "the image so far"
            sentences.append(f"{written} holds {what}.")
        if self.state is not None:
            size = self.state.stat().st_size / 1e6
            sentences.append(f"{self.state} ({size:.3g} MB) holds how to go on.")
        text = " ".join(sentences)
        if self.state is not None:
            return Remark(text, remedy="resume")
        return Remark(text, remedy="finish_sheet") if written and self.sheet else Remark(text)


def _small(photo: Image) -> Image:
    frame = photo.convert("RGB")
    frame.thumbnail((_FRAME_SIDE, _FRAME_SIDE))
    return frame
