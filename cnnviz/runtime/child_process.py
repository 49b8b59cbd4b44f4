"""Runs a program with a time limit, and leaves nothing of it behind: it has a process group of its own.

What it prints goes into files, so that a child that outlives its parent cannot keep a pipe open. To be called in a
thread that no signal interrupts (``cnnviz.runtime.calls_together``): the caller's flag of cancellation
ends the program.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnviz.runtime.cancellation import check_cancelled

_FIRST_WAIT, _LONGEST_WAIT = 0.001, 0.05
"""Seconds between two looks at whether it has ended."""

_MOST_OUTPUT = 512 << 20
"""Bytes that a program may print."""

_TAIL = 4096
"""Bytes of its standard error that are kept."""

_LATE = "takes longer than"


@dataclass(frozen=True)
class Finished:
    """A program that has ended, or was ended.

    Attributes:
        stdout: what it printed.
        stderr: the last lines of its standard error.
        problem: what went wrong, as a verb (``exits with the code 3``); empty if nothing did.
        is_late: whether it took too long.
    """

    stdout: bytes
    stderr: str
    problem: str = ""
    is_late: bool = False


def run_child(command: Sequence[str], folder: Path, *, stdin: Path | None = None, timeout: float = 0.0) -> Finished:
    """Run ``command`` to its end, its output in files of ``folder``; all of its process group has ended then.

    Args:
        command: the program and its arguments, which no shell sees.
        folder: an empty folder.
        stdin: the file that its standard input is; the null device if None.
        timeout: seconds that it may take; 0 for as long as it likes.

    Raises:
        OSError: it cannot be started.
        Cancelled: the computation of this thread was cancelled.
    """
    out, err = folder / "stdout", folder / "stderr"
    with out.open("wb") as printed, err.open("wb") as said, (stdin or Path(os.devnull)).open("rb") as given:
        child = subprocess.Popen(command, stdin=given, stdout=printed, stderr=said, **_OWN_GROUP)
    try:
        problem = _wait(child, (out, err), timeout)
    finally:
        _end(child)
    if not problem and child.returncode:
        return Finished(b"", _last_lines(err), _exit_in_words(child.returncode))
    return Finished(b"" if problem else out.read_bytes(), _last_lines(err), problem, problem.startswith(_LATE))


_OWN_GROUP: dict[str, Any] = (
    {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    if sys.platform == "win32"
    else {"start_new_session": True}
)


def _wait(child: subprocess.Popen[bytes], printed: Sequence[Path], timeout: float) -> str:
    """Wait until it has ended; returns why it must be stopped if it must."""
    started, pause = time.monotonic(), _FIRST_WAIT
    while not _has_ended(child):
        check_cancelled()
        if timeout and time.monotonic() - started > timeout:
            return f"{_LATE} {timeout:g} seconds"
        if sum(path.stat().st_size for path in printed) > _MOST_OUTPUT:
            return f"prints more than {_MOST_OUTPUT >> 20} MiB"
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_WAIT)
    return ""


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended; where that can be, its number stays taken, so that no other group can have it."""
    if not hasattr(os, "waitid"):
        return child.poll() is not None
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(child: subprocess.Popen[bytes]) -> None:
    """End what is left of its process group, and take its exit code."""
    if sys.platform == "win32":
        if child.poll() is None:
            subprocess.run(["taskkill", "/F", "/T", "/PID", str(child.pid)], check=False, capture_output=True)
    else:
        with suppress(ProcessLookupError, PermissionError):  # macOS refuses signals to a group of ended processes
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _exit_in_words(code: int) -> str:
    if code >= 0:
        return f"exits with the code {code}"
    try:
        return f"is ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"is ended by the signal {-code}"


def _last_lines(path: Path) -> str:
    """The last lines of a file, without those that are blank."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        text = file.read().decode(errors="replace")
    return "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-5:])
