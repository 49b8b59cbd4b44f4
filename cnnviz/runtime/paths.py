"""Checks and reads files and folders that a user names, without unexpected errors or endless waits.

``Path.is_file`` and the like raise where a name is too long or a folder is not readable; opening a pipe waits for a
writer, and reading a device may never end.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO

_OPEN_PIPES = ("/dev/fd/", "/proc/self/fd/", "/dev/stdin", "/dev/fd")

_read: dict[str, bytes] = {}
"""Contents of the pipes read so far, by name: each can be read only once."""


class UnreadableFileError(Exception):
    """A file cannot be read; the message continues a sentence that begins with its name: ``is a folder``."""


def cache_home() -> Path:
    """Where programs keep what they can make or fetch again: ``$XDG_CACHE_HOME``, by default ``~/.cache``.

    A user without a home, as in many containers, has a folder among the temporary files.
    """
    found = with_home(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    if found.parts[:1] != ("~",):
        return found
    user = getattr(os, "getuid", int)()
    return Path(tempfile.gettempdir()) / f"cache-{user}"


def with_home(path: str | Path) -> Path:
    """The path with ``~`` as a user's home; as it stands where there is no such user, or no home."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises RuntimeError


def is_folder(path: str | Path) -> bool:
    """Whether ``path`` is a folder; False where that cannot be determined."""
    return os.path.isdir(path)  # noqa: PTH112


def is_file(path: str | Path) -> bool:
    """Whether ``path`` is a regular file; False where that cannot be determined."""
    return os.path.isfile(path)  # noqa: PTH113


def path_exists(path: str | Path) -> bool:
    """Whether ``path`` exists; False where that cannot be determined."""
    return os.path.exists(path)  # noqa: PTH110


def as_file_name(text: str) -> str:
    """A text as part of a file's name: ``tabby, tabby cat`` -> ``tabby_tabby_cat``."""
    return "_".join("".join(c if c.isalnum() or c in "-.+" else " " for c in text).split()).lstrip(".")


def is_open_pipe(path: str | Path) -> bool:
    """Whether ``path`` is a pipe that the shell has opened for this process: ``<(...)``, or /dev/stdin after ``|``."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except (OSError, ValueError):
        return False
    return os.fspath(path).startswith(_OPEN_PIPES) and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode))


def read_file(path: str | Path, most: int) -> bytes:
    """The content of a file, or of a pipe that the shell has opened; at most ``most`` bytes.

    Raises UnreadableFileError for anything larger, and for anything else, which is not even opened.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
        if stat.S_ISDIR(mode):
            raise UnreadableFileError("is a folder")
        if stat.S_ISREG(mode):
            with open(path, "rb") as file:  # noqa: PTH123
                return read_stream(file, most)
        if not is_open_pipe(path):
            raise UnreadableFileError("is a pipe or device, not a file")
        name = os.fspath(path)
        if name not in _read:
            with open(path, "rb") as file:  # noqa: PTH123
                _read[name] = read_stream(file, most)
        return _read[name]
    except OSError as error:
        raise UnreadableFileError(f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise UnreadableFileError("cannot be the name of a file") from error


def read_stream(stream: BinaryIO, most: int) -> bytes:
    """The rest of a stream; UnreadableFileError if it is longer than ``most`` bytes."""
    content = stream.read(most + 1)
    if len(content) > most:
        raise UnreadableFileError(f"is larger than {most >> 20:,} MiB")
    return content


_BYTE_ORDER_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


def detect_encoding(content: bytes) -> str | None:
    """The Unicode encoding of a text by its byte order mark or its zero bytes; None if it has neither."""
    for mark, name in sorted(_BYTE_ORDER_MARKS.items(), key=lambda pair: -len(pair[0])):
        if content.startswith(mark):
            return name
    start = content[:64]
    if len(start) >= 8 and len(start) % 2 == 0:
        for offset, name in ((1, "utf-16-le"), (0, "utf-16-be")):
            if not any(start[offset::2]) and all(start[1 - offset :: 2]):
                return name
    return None
