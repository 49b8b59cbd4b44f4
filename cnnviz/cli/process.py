"""The process: its standard streams, signal handlers and exit code.

Imports nothing heavy, so that signals are handled before anything that takes time is imported.
"""

from __future__ import annotations

import codecs
import math
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
PIPE_CLOSED = 128 + 13
"""What a shell reports for a program ended by SIGPIPE."""

_DEBOUNCE_SECONDS = 5.0
_RETRY_SECONDS = 0.05

_WORDS = {"SIGINT": "Interrupted", "SIGTERM": "Terminated", "SIGHUP": "Hung up", "SIGBREAK": "Interrupted"}


class SignalInterrupt(KeyboardInterrupt):
    """Raised in the main thread by SIGINT, SIGTERM or SIGHUP; caught wherever KeyboardInterrupt is."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.exit_code = 128 + signum
        self.word = _word(signum)


def _word(signum: int) -> str:
    return _WORDS.get(signal.Signals(signum).name, "Interrupted")


class _Signals:
    """The signal handler: raises SignalInterrupt inside ``raising``, and ends the process at once outside.

    After the first signal, computations are cancelled and files being written are finished; a second signal during
    that time would leave temporary files, so it is ignored for some seconds.
    """

    def __init__(self) -> None:
        self._raises = False
        self._last_signal = -math.inf
        self.work_started = False
        """Whether there may be files to finish, so that the process must not end in the middle of an import."""

    @contextmanager
    def raising(self) -> Iterator[None]:
        self._raises = True
        try:
            yield
        finally:
            self._raises = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if time.monotonic() - self._last_signal <= _DEBOUNCE_SECONDS:
            return
        if not self._raises or (not self.work_started and _is_importing(frame)):
            _exit_now(signum)
        if _is_importing(frame) or _is_finalizing_object(frame):
            # An exception would leave a module half imported, or be ignored in __del__: try again later.
            later = threading.Timer(_RETRY_SECONDS, signal.raise_signal, [signum])
            later.daemon = True
            later.start()
            return
        self._last_signal = time.monotonic()
        raise SignalInterrupt(signum)


def _is_importing(frame: FrameType | None) -> bool:
    return any(f.f_code.co_filename.startswith("<frozen importlib") for f in _stack(frame))


def _is_finalizing_object(frame: FrameType | None) -> bool:
    return any(f.f_code.co_name == "__del__" for f in _stack(frame))


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _exit_now(signum: int) -> NoReturn:
    with suppress(OSError):
        os.write(2, f"error: {_word(signum)}.\n".encode())
    os._exit(128 + signum)


signals = _Signals()


def install_signal_handlers() -> None:
    """Handle SIGINT (Ctrl-C), SIGTERM and SIGHUP (a closed terminal).

    Signals that the parent process has set to be ignored, as shells do for background jobs and ``nohup`` does, stay
    ignored.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        signum = getattr(signal, name, None)
        if signum is not None and signal.getsignal(signum) in (signal.default_int_handler, signal.SIG_DFL):
            signal.signal(signum, signals)


STDIN, STDOUT = 0, 1

closed: set[int] = set()
"""File descriptors of the standard streams that were closed when the process started."""


def open_standard_streams() -> None:
    """Open closed standard streams (``>&-``) on the null device, and print in UTF-8.

    Otherwise the next file opened would get the number of a closed stream, and printed text would go into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            closed.add(number)
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 (for as long as the process lasts)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    codecs.register_error(_ANY_NAME, _as_bytes)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # For characters that the console's code page lacks, as on Windows.
            stream.reconfigure(encoding="utf-8", errors=_ANY_NAME if stream is sys.stdout else "backslashreplace")


_ANY_NAME = "cnnviz.any_name"


def _as_bytes(error: UnicodeError) -> tuple[bytes | str, int]:
    """Codec error handler: undecodable bytes of file names as they are, other characters as ``\\u`` escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    try:
        return os.fsencode(error.object[error.start : error.end]), error.end
    except UnicodeEncodeError:
        return codecs.backslashreplace_errors(error)


def silence_stdout() -> None:
    """Point stdout at the null device, so that the interpreter's last flush raises no error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def exit_process(code: int) -> NoReturn:
    """Flush the standard streams and end the process.

    Ends by ``os._exit``, since taking torch apart in order takes as long as one saliency map; but as usual where a
    debugger, profiler or coverage tool is active, or a Ray cluster was used, which write or stop something at exit.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence_stdout()
        code = PIPE_CLOSED
    except OSError as error:
        code = code or 1
        with suppress(OSError):
            os.write(2, f"error: Standard output cannot be written: {error.strerror}.\n".encode())
        silence_stdout()
    with suppress(OSError):
        sys.stderr.flush()
    if _has_exit_handlers():
        sys.exit(code)
    os._exit(code)


def _has_exit_handlers() -> bool:
    monitoring = getattr(sys, "monitoring", None)  # from Python 3.12 on
    tools = [monitoring.get_tool(number) for number in range(6)] if monitoring else []
    return bool(sys.gettrace() or sys.getprofile() or any(tools) or _WITH_EXIT_HANDLERS & sys.modules.keys())


_WITH_EXIT_HANDLERS = {"ray", "memray"}


def ignore_pillow_warnings() -> None:
    """Hide what Pillow warns of, such as broken metadata: an image is read in spite of it, or refused in a sentence."""
    warnings.filterwarnings("ignore", module=r"PIL\b")
