"""Saves a checkpoint next to the output of a long optimization, and resumes from it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from cnnviz.errors import CnnvizError, Remark, UsageError
from cnnviz.pipeline.step_monitor import STATE, StepMonitor
from cnnviz.runtime.paths import is_file, path_exists

if TYPE_CHECKING:
    from cnnviz.runtime.progress import OnStep, Step

Made_co = TypeVar("Made_co", covariant=True)
"""What an optimization makes: pixels, or a trained network."""


class Resumable(Protocol[Made_co]):
    """An optimization that can be saved and resumed."""

    @property
    def remarks(self) -> list[str]: ...

    def run(self, on_step: OnStep | None = None) -> Made_co: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass
class Checkpointer:
    """Runs optimizations so that they can be resumed.

    The state, the optimizer's memory included, is written where the run is interrupted and with each snapshot of
    the monitor, and removed when the image is done. A run that is resumed must have the same ``settings``.
    Of several processes that optimize together, one ``writes``.
    """

    monitor: StepMonitor
    settings: dict[str, Any]
    writes: bool = True

    def run(self, job: Resumable[Made_co], on_step: OnStep | None = None) -> Made_co:
        """What ``job`` makes, resumed from where an earlier run stopped if the monitor's config says so."""
        place = self.monitor.path.with_suffix(STATE) if self.monitor.path else None
        if self.monitor.config.resume and place and path_exists(place):
            self._load(place, job)
        every = self.monitor.config.save_every

        def keep(step: Step) -> None:
            (on_step or self.monitor)(step)
            if every and step.step % every == 0:
                self._save(place, job)

        try:
            image = job.run(keep)
        except KeyboardInterrupt:
            self._save(place, job)
            raise
        for remark in job.remarks:
            self.monitor.reporter.warn(remark)
        if place and self.writes:
            place.unlink(missing_ok=True)
        return image

    def _save(self, place: Path | None, job: Resumable[Any]) -> None:
        import hashlib
        from io import BytesIO

        import torch

        from cnnviz.imaging.image_io import write_bytes

        if place is None or not self.writes:
            return
        buffer = BytesIO()
        torch.save({"settings": self._key(), "state": job.state_dict()}, buffer)
        place.parent.mkdir(parents=True, exist_ok=True)
        body = buffer.getvalue()
        write_bytes(hashlib.sha256(body).digest() + body, place, force=True)
        self.monitor.state = place
        self.monitor.reporter.detail(Remark(f"{place} holds what it takes to go on.", remedy="resume"))

    def _load(self, place: Path, job: Resumable[Any]) -> None:
        if not is_file(place):
            raise UsageError(f"'{place}' is no state to go on from: it is no file; remove it to begin from the start.")
        try:
            found = _unpacked(place.read_bytes())
            same = found["settings"] == self._key()
            if same:
                job.load_state_dict(found["state"])
        except (CnnvizError, MemoryError):
            raise
        except Exception as error:  # damaged, or of another kind: what it then holds fails in many ways
            raise UsageError(f"'{place}' cannot be gone on from; remove it to begin from the start.") from error
        if not same:
            raise UsageError(f"'{place}' belongs to a run with other settings; give those, or remove it.")
        self.monitor.reporter.detail(f"Going on from {place}.")

    def _key(self) -> str:
        return json.dumps(self.settings, sort_keys=True, default=str)


def _unpacked(content: bytes) -> Any:
    """What a state file holds, whose first 32 bytes are the SHA-256 of the rest; ValueError where they are not."""
    import hashlib
    from io import BytesIO

    import torch

    digest, body = content[:32], content[32:]
    if hashlib.sha256(body).digest() != digest:
        raise ValueError("the file is damaged")
    return torch.load(BytesIO(body), map_location="cpu", weights_only=True)
