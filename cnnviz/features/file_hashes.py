"""The SHA-256 of files, cached until a file changes."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cnnviz.features.database import Database
from cnnviz.network.hashing import sha256

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, size INTEGER, modified INTEGER, hashed INTEGER, key TEXT);
"""
_COARSEST_CLOCK = 2_000_000_000  # nanoseconds; FAT keeps times to two seconds


class FileHashes:
    """Caches the SHA-256 of files by path, size and modification time, as git's index does.

    An entry of a file that was modified less than two seconds before it was read is not used: the file could change
    again within the resolution of the file system's clock.
    """

    def __init__(self, folder: Path, on_rebuilt: Callable[[Path], None] | None = None) -> None:
        self._database = Database(folder / "files.sqlite", _SCHEMA, on_rebuilt)

    def keys(self, paths: Sequence[Path]) -> list[str | None]:
        """The SHA-256 of each file, 64 hexadecimal digits; None where it cannot be read."""
        places = [os.fsencode(os.path.abspath(path)) for path in paths]
        known = self._database.read(lambda c: [_known(c, place) for place in places])
        found: list[str | None] = []
        fresh = []
        for place, row in zip(places, known, strict=True):
            try:
                key, changed = _key_of(place, row)
            except OSError:
                found.append(None)
                continue
            found.append(key)
            fresh += [changed] if changed else []
        if fresh:
            self._database.write(lambda c: c.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", fresh))
        return found

    def forget_missing(self, folder: Path) -> int:
        """Remove the entries of files below ``folder`` that no longer exist; returns their number."""
        prefix = os.fsencode(os.path.join(os.path.abspath(folder), ""))  # noqa: PTH118 (Path drops the last slash)
        query = "SELECT path FROM files WHERE substr(path, 1, ?) = ?"
        rows = self._database.read(lambda c: c.execute(query, [len(prefix), prefix]).fetchall())
        gone = [row for row in rows if not Path(os.fsdecode(row[0])).is_file()]
        if gone:
            self._database.write(lambda c: c.executemany("DELETE FROM files WHERE path = ?", gone))
        return len(gone)

    def close(self) -> None:
        self._database.close()


Row = tuple[int, int, int, str]


def _known(connection: sqlite3.Connection, place: bytes) -> Row | None:
    row = connection.execute("SELECT size, modified, hashed, key FROM files WHERE path = ?", [place]).fetchone()
    return row if row and _is_sound(*row) else None


def _is_sound(size: Any, modified: Any, hashed: Any, key: Any) -> bool:
    numbers = all(isinstance(number, int) for number in (size, modified, hashed))
    return numbers and isinstance(key, str) and re.fullmatch("[0-9a-f]{64}", key) is not None


def _key_of(place: bytes, row: Row | None) -> tuple[str, tuple[bytes, int, int, int, str] | None]:
    """The file's SHA-256, and the row to store if it is new or has changed."""
    path = Path(os.fsdecode(place))
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError("not a file")  # reading a pipe would wait forever
    if row is not None:
        size, modified, hashed, key = row
        if (size, modified) == (status.st_size, status.st_mtime_ns) and modified + _COARSEST_CLOCK < hashed:
            return key, None
    now = time.time_ns()
    key = sha256(path)
    return key, (place, status.st_size, status.st_mtime_ns, now, key)
