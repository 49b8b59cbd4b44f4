"""The process as the shell sees it: its standard streams, the signals that end it, and the code it leaves with.

Nothing heavy is imported here, so that all of it is in place before anything that takes time.
"""

from __future__ import annotations

import codecs
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
PIPE_CLOSED = 128 + 13
"""What a shell reports of a program that SIGPIPE ended."""

_MOMENT = 5.0  # seconds
_SOON = 0.05  # seconds

_WORDS = {"SIGINT": "Interrupted", "SIGTERM": "Terminated", "SIGHUP": "Hung up", "SIGBREAK": "Interrupted"}


class Stop(KeyboardInterrupt):
    """Raised in the main thread by a signal that asks the process to end: as Ctrl-C is, whichever signal it was."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.exit_code = 128 + signum
        self.word = _word(signum)


def _word(signum: int) -> str:
    return _WORDS.get(signal.Signals(signum).name, "Interrupted")


class _Signals:
    """Ends the process at once while nothing is at stake, and by raising ``Stop`` inside ``raising``.

    What the first signal sets off (breaking off what computes, finishing what is being written) takes a moment; a
    second one in the middle of it would leave temporary files, or a traceback, so it is passed over.
    """

    def __init__(self) -> None:
        self._raises = False
        self._heard = -math.inf
        self.work_started = False

    @contextmanager
    def raising(self) -> Iterator[None]:
        self._raises = True
        try:
            yield
        finally:
            self._raises = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if time.monotonic() - self._heard <= _MOMENT:
            return
        if not self._raises or (not self.work_started and _is_importing(frame)):
            _leave_at_once(signum)
        if _is_importing(frame) or _is_clearing_up(frame):
            # A module broken off while it is loaded, or an exception in __del__, is no way to stop.
            later = threading.Timer(_SOON, signal.raise_signal, [signum])
            later.daemon = True
            later.start()
            return
        self._heard = time.monotonic()
        raise Stop(signum)


def _is_importing(frame: FrameType | None) -> bool:
    return any(f.f_code.co_filename.startswith("<frozen importlib") for f in _stack(frame))


def _is_clearing_up(frame: FrameType | None) -> bool:
    return any(f.f_code.co_name == "__del__" for f in _stack(frame))


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _leave_at_once(signum: int) -> NoReturn:
    with suppress(OSError):
        os.write(2, f"error: {_word(signum)}.\n".encode())
    os._exit(128 + signum)


signals = _Signals()


def install_signal_handlers() -> None:
    """Let Ctrl-C, a polite kill (SIGTERM) and a closed terminal (SIGHUP) end the run alike.

    A signal that whoever began us ignores, as shells do for jobs in the background and ``nohup`` does, stays ignored.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        signum = getattr(signal, name, None)
        if signum is not None and signal.getsignal(signum) in (signal.default_int_handler, signal.SIG_DFL):
            signal.signal(signum, signals)


STDIN, STDOUT, STDERR = 0, 1, 2

closed: set[int] = set()
"""The standard streams, by their numbers, that were closed when the process began."""


def open_standard_streams() -> None:
    """See that standard input, output and error are there, leading nowhere where they were closed (``>&-``).

    Otherwise the next file opened would take such a number, and what is printed would go into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            closed.add(number)
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 (for as long as the process lasts)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    codecs.register_error(_ANY_NAME, _as_bytes)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # In UTF-8, for names and signs that the console's own code page lacks, as on Windows.
            stream.reconfigure(encoding="utf-8", errors=_ANY_NAME if stream is sys.stdout else "backslashreplace")


_ANY_NAME = "cnnviz.any_name"


def _as_bytes(error: UnicodeError) -> tuple[bytes | str, int]:
    """For the codec: the bytes of a file's name that are no text as they are, other characters as ``\\u`` escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    try:
        return os.fsencode(error.object[error.start : error.end]), error.end
    except UnicodeEncodeError:
        return codecs.backslashreplace_errors(error)


def silence_stdout() -> None:
    """Send what is still in stdout's buffer nowhere, so that the interpreter's last flush does not complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def leave(code: int) -> NoReturn:
    """Flush and go at once: taking torch apart in order would cost as much as explaining a picture."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence_stdout()
        code = PIPE_CLOSED
    except OSError as error:
        code = code or 1
        with suppress(OSError):
            os.write(2, f"error: Standard output cannot be written: {error.strerror}.\n".encode())
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(code)
