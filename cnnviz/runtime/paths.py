"""Files and folders that a user names: what they are, asked and read so that nothing can surprise.

``Path.is_file`` and its like raise where a name is too long or a folder may not be looked into; opening a pipe waits
for a writer, and devices never end.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

_OPEN_ALREADY = ("/dev/fd/", "/proc/self/fd/", "/dev/stdin", "/dev/fd")


_read: dict[str, bytes] = {}
"""What came through pipes, by their names: a second look at one would find nothing."""


class UnreadableFileError(Exception):
    """A file cannot be read; the message goes on from its name: ``is a folder``."""


def is_folder(path: str | Path) -> bool:
    """Whether there is such a folder; False where that cannot be found out."""
    return os.path.isdir(path)  # noqa: PTH112


def is_file(path: str | Path) -> bool:
    """Whether there is such a file, no pipe or device; False where that cannot be found out."""
    return os.path.isfile(path)  # noqa: PTH113


def path_exists(path: str | Path) -> bool:
    """Whether anything goes by this name; False where that cannot be found out."""
    return os.path.exists(path)  # noqa: PTH110


def is_open_pipe(path: str | Path) -> bool:
    """Whether a path is a pipe that the shell has opened for this process: ``<(...)``, or /dev/stdin behind ``|``."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except (OSError, ValueError):
        return False
    return os.fspath(path).startswith(_OPEN_ALREADY) and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode))


def read_file(path: str | Path, most: int) -> bytes:
    """All of a file, or of a pipe that the shell has opened; at most ``most`` bytes.

    Raises UnreadableFileError for anything else, before it is opened.
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
    """All that comes from a stream; UnreadableFileError beyond ``most`` bytes."""
    content = stream.read(most + 1)
    if len(content) > most:
        raise UnreadableFileError(f"is larger than {most >> 20:,} MiB")
    return content


_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


def detect_encoding(content: bytes) -> str | None:
    """The encoding that a text begins by declaring, or that its zeros give away; None for text without either."""
    for mark, name in sorted(_MARKS.items(), key=lambda pair: -len(pair[0])):
        if content.startswith(mark):
            return name
    start = content[:64]
    if len(start) >= 8 and len(start) % 2 == 0:
        for offset, name in ((1, "utf-16-le"), (0, "utf-16-be")):
            if not any(start[offset::2]) and all(start[1 - offset :: 2]):
                return name
    return None
