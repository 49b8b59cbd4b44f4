"""Feature stores of version 0.1.0: ``index.sqlite`` names the row of each vector in a ``vectors-*.bin`` file."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, BinaryIO

from cnnviz.runtime.paths import is_file

DAMAGE = (sqlite3.Error, OSError, OverflowError, UnicodeDecodeError)
"""What reading raises where a file is damaged."""

Row = tuple[Any, Any, Any, Any]
"""An entry's key, vector, payload and checksum, none of them checked."""

_ROWS_PER_QUERY = 500


def index_of(folder: Path) -> Path:
    """The index of the old store in ``folder``."""
    return folder / "index.sqlite"


def exists(folder: Path) -> bool:
    """Whether ``folder`` holds an old store."""
    return is_file(index_of(folder))


def batches(folder: Path, row_bytes: int) -> Iterator[list[Row]]:
    """The old store's entries, some hundred at a time; raises one of ``DAMAGE`` where they cannot be read."""
    index = f"{index_of(folder).absolute().as_uri()}?mode=rw"  # not created if another process has removed it
    with closing(sqlite3.connect(index, uri=True)) as connection:
        name = connection.execute("SELECT value FROM meta WHERE name = 'array'").fetchone()
        if not name or not re.fullmatch(r"vectors-[0-9a-f]{8}\.bin", str(name[0])):
            return
        with (folder / name[0]).open("rb") as array:
            rows = connection.execute("SELECT key, place, note, checksum FROM entries ORDER BY place")
            while some := rows.fetchmany(_ROWS_PER_QUERY):
                yield [
                    (key, _vector(array, place, row_bytes), payload, checksum) for key, place, payload, checksum in some
                ]


def _vector(array: BinaryIO, place: Any, row_bytes: int) -> bytes | None:
    if not isinstance(place, int) or place < 0:
        return None
    array.seek(place * row_bytes)
    return array.read(row_bytes)


def remove(folder: Path) -> None:
    """Remove the old store's files, except those that another process has open on systems that keep them."""
    for file in (index_of(folder), *folder.glob("index.sqlite-*"), *folder.glob("vectors-*.bin")):
        with suppress(OSError):
            file.unlink()
