"""Where a run reports to: a terminal, a log, nothing at all, or, in a worker, a list that travels back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from cnnviz.errors import Remark
    from cnnviz.imaging.image_io import ByteChunks


class Reporter(Protocol):
    """Receives warnings, details, progress and results of a run; the ``shows_…`` flags say what it uses."""

    @property
    def shows_detail(self) -> bool: ...

    @property
    def shows_progress(self) -> bool: ...

    def detail(self, message: str | Remark) -> None:
        """Report a detail, which is shown in verbose mode only."""

    def warn(self, message: str | Remark) -> None:
        """Report a warning."""

    def unused(self, *settings: str, why: str) -> None:
        """Report settings, by the names of their fields, that have no effect; ``why`` ends the sentence."""

    def failed(self, name: str, error: Exception) -> None:
        """Report an input that was left out, and the error."""

    def result(self, record: Mapping[str, Any] | None, paths: Sequence[str] | None, text: Sequence[str]) -> None:
        """A result: everything about it (None: it went to standard output), the files written (None for a task that
        writes none), and what it says in words."""

    def result_bytes(self, content: bytes | ByteChunks) -> None:
        """Write a result to standard output."""

    def require_stdout(self) -> None:
        """Raise an error if standard output was closed."""

    def progress(self, total: int, unit: str) -> AbstractContextManager[Callable[[str], None]]:
        """Context with a progress bar; yields the function to call, with a few words, after each of ``total``."""

    def only_results_on_stdout(self) -> AbstractContextManager[None]:
        """Discards what libraries print to standard output inside the block."""

    def work_started(self) -> None:
        """Called when work begins: from now on an interruption raises an exception, so that files can be finished."""


class SilentReporter:
    """Says nothing."""

    shows_detail = shows_progress = False

    def detail(self, message: str | Remark) -> None: ...

    def warn(self, message: str | Remark) -> None: ...

    def unused(self, *settings: str, why: str) -> None: ...

    def failed(self, name: str, error: Exception) -> None: ...

    def result(self, record: Mapping[str, Any] | None, paths: Sequence[str] | None, text: Sequence[str]) -> None: ...

    def result_bytes(self, content: bytes | ByteChunks) -> None:
        for chunk in [content] if isinstance(content, bytes) else content:
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()

    def require_stdout(self) -> None: ...

    def progress(self, total: int, unit: str) -> AbstractContextManager[Callable[[str], None]]:
        return nullcontext(lambda words: None)

    def only_results_on_stdout(self) -> AbstractContextManager[None]:
        return nullcontext()

    def work_started(self) -> None: ...


SILENT = SilentReporter()

Note = tuple[str, tuple[str, ...], "str | Remark"]
"""A detail, a warning, or settings without effect: the method of ``Reporter``, the settings, the message."""


@dataclass
class RecordingReporter(SilentReporter):
    """Keeps details and warnings, in a worker, until they travel back to the process that reports."""

    notes: list[Note] = field(default_factory=list)

    def detail(self, message: str | Remark) -> None:
        self.notes.append(("detail", (), message))

    def warn(self, message: str | Remark) -> None:
        self.notes.append(("warn", (), message))

    def unused(self, *settings: str, why: str) -> None:
        self.notes.append(("unused", settings, why))

    def take(self) -> list[Note]:
        """The notes since the last call."""
        taken, self.notes = self.notes, []
        return taken


def forward_notes(notes: Iterable[Note], reporter: Reporter) -> None:
    """Report what a worker noted."""
    for kind, settings, message in notes:
        if kind == "unused":
            reporter.unused(*settings, why=str(message))
        elif kind == "detail":
            reporter.detail(message)
        else:
            reporter.warn(message)
