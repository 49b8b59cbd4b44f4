"""Everything that is printed: results on stdout, all else on stderr."""

from __future__ import annotations

import json
import math
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnviz.cli import process
from cnnviz.cli.hints import message_with_hint
from cnnviz.errors import CnnvizError, Remark

if TYPE_CHECKING:
    from cnnviz.imaging.image_io import ByteChunks


class OutputError(CnnvizError):
    """Standard output cannot be written to."""


_diverted: list[Any] = []
"""Standard output, while what others print goes to stderr."""


@contextmanager
def prints_on_stderr() -> Iterator[None]:
    """Context in which what the user's own code prints to stdout goes to stderr: stdout is for results."""
    _diverted.append(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _diverted.pop()


def _stdout() -> Any:
    return _diverted[-1] if _diverted else sys.stdout


def result(line: str, stdout: Any = None) -> None:
    """One line of results on stdout, at once, so that the next program in the pipe can begin.

    ``stdout`` is the stream where it is not ``sys.stdout``. Raises OutputError where there is nowhere to print to.
    """
    with _writing():
        print(line, file=stdout or _stdout(), flush=True)


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


def result_json(record: dict[str, Any], stdout: Any = None) -> None:
    """One JSON object on a line of stdout, always valid: file names that are not text are escaped, NaN is null."""
    plain = _finite(record)
    line = json.dumps(plain, ensure_ascii=False, allow_nan=False, default=str)
    try:
        line.encode(getattr(stdout or _stdout(), "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        line = json.dumps(plain, allow_nan=False, default=str)
    result(line, stdout)


def _finite(value: Any) -> Any:
    """The value with null in place of numbers that JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value


def error(message: str) -> None:
    _to_stderr("error:", message, "31")


def _to_stderr(label: str, message: str, color: str) -> None:
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        label = f"\033[{color}m{label}\033[0m"
    with suppress(OSError):  # whoever reads it has gone away
        print(f"{label} {_on_one_line(message)}", file=sys.stderr, flush=True)


def _on_one_line(message: str) -> str:
    """A message with line breaks and control characters, as names of files may hold, escaped."""
    return "".join(c if c.isprintable() or unicodedata.category(c) == "Zs" else ascii(c)[1:-1] for c in message)


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
    """What a command reports, on the terminal: a ``cnnviz.pipeline.reporter.Reporter``.

    ``quiet`` and ``verbose`` are how much to say on stderr, where errors are always said; ``json`` is whether results
    are JSON. ``on_unused`` takes the settings that have no effect.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        verbose: bool = False,
        json: bool = False,
        on_unused: Callable[..., None] | None = None,
    ) -> None:
        self.quiet, self.json, self.shows_detail = quiet, json, verbose
        self.on_unused = on_unused
        self._bars: Any = None
        self._stdout: Any = None

    @property
    def shows_progress(self) -> bool:
        """Whether there is a terminal to show a progress bar on."""
        return sys.stderr.isatty() and not self.quiet

    def detail(self, message: str | Remark) -> None:
        if self.shows_detail:
            _to_stderr("cnnviz:", message_with_hint(message), "36")

    def warn(self, message: str | Remark) -> None:
        if not self.quiet:
            _to_stderr("note:", message_with_hint(message), "33")

    def unused(self, *settings: str, why: str) -> None:
        if self.on_unused is not None:
            self.on_unused(*settings, why=why)

    def failed(self, name: str, error: Exception) -> None:
        message = message_with_hint(error)
        is_named = name in message or _on_one_line(name) in message
        _to_stderr("error:", message if is_named else f"{name}: {message}", "31")

    def result(self, record: Mapping[str, Any] | None, paths: Sequence[str] | None, text: Sequence[str]) -> None:
        if record is not None and self.json:
            hinted = {
                key: message_with_hint(value) if isinstance(value, Remark) else value for key, value in record.items()
            }
            result_json(hinted, self._stdout)
            return
        for line in text if paths is None else ():
            result(line, self._stdout)
        if paths is not None and process.STDOUT not in process.closed:  # where files are is then of no use
            for line in (*paths, *text):
                result(line, self._stdout)

    def result_bytes(self, content: bytes | ByteChunks) -> None:
        stream = (self._stdout or _stdout()).buffer
        with _writing():
            for chunk in [content] if isinstance(content, bytes) else content:
                stream.write(chunk)
            stream.flush()

    def require_stdout(self) -> None:
        require_stdout()

    @contextmanager
    def progress(self, total: int, unit: str) -> Iterator[Callable[[str], None]]:
        """A progress bar on stderr for ``total`` items; yields what to call with a few words after each.

        A bar inside a bar is shown below it while it lasts.
        """
        if not self.shows_progress or total < 2:
            yield lambda words: None
            return
        with self._display() as bars:
            task = bars.add_task(unit, total=total, words="", unit=unit)
            try:
                yield lambda words: bars.update(task, advance=1, words=words)
            finally:
                bars.remove_task(task)

    @contextmanager
    def _display(self) -> Iterator[Any]:
        """The one live display that all bars share: a terminal has room for one."""
        if self._bars is not None:
            yield self._bars
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
            self._bars = bars
            try:
                yield bars
            finally:
                self._bars = None

    @contextmanager
    def only_results_on_stdout(self) -> Iterator[None]:
        """Discard what libraries print to stdout inside the block."""
        self._stdout = _stdout()
        try:
            with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
                yield
        finally:
            self._stdout = None

    def work_started(self) -> None:
        process.signals.work_started = True
