"""Everything that is printed: results on stdout, all else on stderr."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnviz.cli import process
from cnnviz.cli.hints import message_with_hint
from cnnviz.errors import CnnvizError, Remark

if TYPE_CHECKING:
    from cnnviz.imaging.image_io import ByteChunks

_settings = {"quiet": False, "verbose": False, "json": False}


class OutputError(CnnvizError):
    """Standard output takes nothing."""


def configure(*, quiet: bool, verbose: bool, json: bool = False) -> None:
    """How much to say on stderr, where errors are always said, and whether results are JSON."""
    _settings.update(quiet=quiet, verbose=verbose, json=json)


def result(line: str) -> None:
    """One line of results on stdout, at once, so that the next program in the pipe can begin.

    Raises OutputError where there is nowhere to print to.
    """
    with _writing():
        print(line, file=_results or sys.stdout, flush=True)


def result_path(line: str) -> None:
    """Where a result was written, on stdout; nothing if that was closed."""
    if process.STDOUT not in process.closed:
        result(line)


def require_stdout() -> None:
    """OutputError where standard output was closed."""
    if process.STDOUT in process.closed:
        raise OutputError("Standard output is closed, so there is nowhere to print to.")


@contextmanager
def _writing() -> Iterator[None]:
    require_stdout()
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        process.silence_stdout()
        raise OutputError(f"Standard output cannot be written: {error.strerror or error}.") from error


_results: Any = None


@contextmanager
def only_results_on_stdout() -> Iterator[None]:
    """Let what libraries print inside the block go nowhere."""
    global _results  # noqa: PLW0603 (like the stream it stands for)
    _results = sys.stdout
    try:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
            yield
    finally:
        _results = None


def result_json(record: dict[str, Any]) -> None:
    """One JSON object on a line of stdout; names of files that are no text are escaped, so that it is always JSON."""
    line = json.dumps(record, ensure_ascii=False, allow_nan=False, default=str)
    try:
        line.encode(getattr(_results or sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        line = json.dumps(record, allow_nan=False, default=str)
    result(line)


def result_bytes(data: bytes | ByteChunks) -> None:
    """Write an image's bytes, or a page's parts, to stdout."""
    stream = (_results or sys.stdout).buffer
    with _writing():
        for piece in [data] if isinstance(data, bytes) else data:
            stream.write(piece)
        stream.flush()


def error(message: str) -> None:
    _to_stderr("error:", message, "31")


def warn(message: str) -> None:
    """Something the user should know that stops nothing."""
    if not _settings["quiet"]:
        _to_stderr("note:", message, "33")


def detail(message: str) -> None:
    """What only ``-v`` asks for."""
    if _settings["verbose"]:
        _to_stderr("cnnviz:", message, "36")


def shows_detail() -> bool:
    """Whether ``-v`` was given, so that details are computed only then."""
    return _settings["verbose"]


def _to_stderr(label: str, message: str, color: str) -> None:
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        label = f"\033[{color}m{label}\033[0m"
    with suppress(OSError):  # whoever reads it has gone away
        print(f"{label} {_on_one_line(message)}", file=sys.stderr, flush=True)


def _on_one_line(message: str) -> str:
    """A message with line breaks and control characters, as names of files may hold, escaped."""
    return "".join(c if c.isprintable() or unicodedata.category(c) == "Zs" else ascii(c)[1:-1] for c in message)


def shows_progress() -> bool:
    """Whether a progress bar has somebody to look at it."""
    return sys.stderr.isatty() and not _settings["quiet"]


@contextmanager
def progress(total: int, unit: str) -> Iterator[Callable[[str], None]]:
    """A progress bar on stderr for ``total`` items; yields what to call with a few words after each.

    A bar inside a bar is shown below it while it lasts.
    """
    if not shows_progress() or total < 2:
        yield lambda words: None
        return
    with _bars() as bars:
        task = bars.add_task(unit, total=total, words="", unit=unit)
        try:
            yield lambda words: bars.update(task, advance=1, words=words)
        finally:
            bars.remove_task(task)


_open_bars: list[Any] = []


@contextmanager
def _bars() -> Iterator[Any]:
    """The one live display that all bars share: a terminal has room for one."""
    if _open_bars:
        yield _open_bars[0]
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[words]}", markup=False),  # names of files may hold brackets
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        _open_bars.append(bars)
        try:
            yield bars
        finally:
            _open_bars.clear()


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """A plain table on stdout, columns aligned; ``right`` lists the columns to align to the right."""
    widths = [max(len(str(row[i])) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        cells = [
            str(cell).rjust(width) if i in right else str(cell).ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        result("  ".join(cells).rstrip())


class ConsoleReporter:
    """What a run reports, on the terminal: a ``cnnviz.pipeline.reporter.Reporter``."""

    def __init__(self) -> None:
        self.context: Any = None

    @property
    def shows_detail(self) -> bool:
        return shows_detail()

    @property
    def shows_progress(self) -> bool:
        return shows_progress()

    def detail(self, message: str | Remark) -> None:
        detail(message_with_hint(message))

    def warn(self, message: str | Remark) -> None:
        warn(message_with_hint(message))

    def unused(self, *settings: str, why: str) -> None:
        self.context.unused(*settings, why=why)

    def failed(self, name: str, error: Exception) -> None:
        message = message_with_hint(error)
        _to_stderr("error:", message if name in message else f"{name}: {message}", "31")

    def result(self, record: Mapping[str, Any] | None, paths: Sequence[str] | None, text: Sequence[str]) -> None:
        if record is not None and _settings["json"]:
            hinted = {
                key: message_with_hint(value) if isinstance(value, Remark) else value for key, value in record.items()
            }
            result_json(hinted)
            return
        for path in paths or ():
            result_path(path)
        for line in text:
            result(line) if paths is None else result_path(line)

    def result_bytes(self, content: bytes | ByteChunks) -> None:
        result_bytes(content)

    def require_stdout(self) -> None:
        require_stdout()

    def progress(self, total: int, unit: str) -> AbstractContextManager[Callable[[str], None]]:
        return progress(total, unit)

    def only_results_on_stdout(self) -> AbstractContextManager[None]:
        return only_results_on_stdout()

    def work_started(self) -> None:
        process.signals.work_started = True


reporter = ConsoleReporter()
