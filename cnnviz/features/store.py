"""The feature store: a vector for each picture, by the picture's content, in a memory-mapped file.

A store is a folder of two files: ``index.sqlite`` says in which row a picture's vector lies and holds a few bytes
beside it; the array file holds the rows. A row is written before the index tells of it, both under the index's
write lock, so that a killed run leaves a whole store and two processes never write one row. Each entry carries a
checksum of its key, vector and bytes: what does not fit its checksum is taken as missing and computed again.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cnnviz.features.database import Database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, place INTEGER UNIQUE, note BLOB, checksum INTEGER);
"""
_AT_ONCE = 500  # keys in one query; SQLite bounds the number of variables


@dataclass(frozen=True)
class Entry:
    """One picture's part of a store: the SHA-256 of its file, its vector (D,), and a few bytes beside it."""

    key: str
    vector: NDArray[Any]
    payload: bytes = b""


class Store:
    """Vectors of one width and type, by key.

    Args:
        folder: where the store lies; made if need be.
        width: D, the length of each vector.
        dtype: of the vectors; whatever is added is converted to it.
        on_rebuilt: called with the path of an index that was damaged and has been replaced by an empty one.
    """

    def __init__(
        self,
        folder: Path,
        width: int,
        dtype: DTypeLike = np.float32,
        on_rebuilt: Callable[[Path], None] | None = None,
    ) -> None:
        self.folder = folder
        self.width = width
        self.dtype = np.dtype(dtype)
        self._on_rebuilt = on_rebuilt
        self.rebuilt = 0
        """How often its index was found damaged and begun again: what was kept is lost then."""
        self._database = Database(folder / "index.sqlite", _SCHEMA, self._rebuilt)

    @property
    def row_bytes(self) -> int:
        return self.width * self.dtype.itemsize

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of ``keys`` that have no sound entry, each once, in their order."""
        wanted = list(dict.fromkeys(keys))
        sound = {entry.key for entry in self.entries(wanted)}
        return [key for key in wanted if key not in sound]

    def vectors(self, keys: Sequence[str]) -> NDArray[Any]:
        """The vectors of ``keys`` (N, D), in their order. KeyError where one is missing."""
        found = np.empty((len(keys), self.width), self.dtype)
        rows: dict[str, list[int]] = {}
        for row, key in enumerate(keys):
            rows.setdefault(key, []).append(row)
        for entry in self.entries(list(rows)):
            found[rows.pop(entry.key)] = entry.vector
        if rows:
            raise KeyError(next(iter(rows)))
        return found

    def payloads(self, keys: Sequence[str]) -> list[bytes]:
        """The bytes kept beside the vectors of ``keys``, in their order."""
        found = {entry.key: entry.payload for entry in self.entries(list(dict.fromkeys(keys)))}
        return [found[key] for key in keys]

    def entries(self, keys: Sequence[str]) -> Iterator[Entry]:
        """The sound entries among ``keys``, in no particular order; memory does not grow with their number."""
        array = self._mapped()
        for start in range(0, len(keys), _AT_ONCE):
            for key, place, note, checksum in self._lookup(keys[start : start + _AT_ONCE]):
                if isinstance(place, int) and 0 <= place < len(array) and isinstance(note, bytes):
                    entry = Entry(key, array[place], note)
                    if _checksum(entry) == checksum:
                        yield entry

    def add(self, entries: Sequence[Entry]) -> None:
        """Keep entries, all or none; one whose key is there already is replaced."""
        fitted = [Entry(e.key, np.ascontiguousarray(e.vector, self.dtype), e.payload) for e in entries]

        def write(connection: sqlite3.Connection) -> None:
            places = _places(connection, fitted)
            self._write_rows(self.folder / _array_name(connection), fitted, places)
            connection.executemany(
                "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)",
                [(e.key, place, e.payload, _checksum(e)) for e, place in zip(fitted, places, strict=True)],
            )

        self._database.write(write)

    def close(self) -> None:
        self._database.close()

    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in self.folder.iterdir() if file.is_file())

    def __len__(self) -> int:
        return int(self._database.read(lambda c: c.execute("SELECT count(*) FROM entries").fetchone()[0]))

    def _rebuilt(self, index: Path) -> None:
        """The rows of a lost index are room wasted."""
        self.rebuilt += 1
        for array in self.folder.glob("vectors-*.bin"):
            with suppress(OSError):  # where another process has it open, some systems keep it
                array.unlink()
        if self._on_rebuilt:
            self._on_rebuilt(index)

    def _lookup(self, keys: Sequence[str]) -> list[tuple[str, int, bytes, int]]:
        marks = ",".join("?" * len(keys))
        query = f"SELECT key, place, note, checksum FROM entries WHERE key IN ({marks})"
        return self._database.read(lambda c: c.execute(query, list(keys)).fetchall())

    def _mapped(self) -> NDArray[Any]:
        """The array file as (rows, D), read as it is touched; without a whole row it is empty."""
        name = self._database.read(lambda c: c.execute("SELECT value FROM meta WHERE name = 'array'").fetchone())
        path = self.folder / name[0] if name and _is_array_name(name[0]) else None
        rows = path.stat().st_size // self.row_bytes if path and path.is_file() else 0
        if path is None or rows == 0:
            return np.empty((0, self.width), self.dtype)
        return np.memmap(path, self.dtype, mode="r", shape=(rows, self.width))

    def _write_rows(self, path: Path, entries: Sequence[Entry], places: Sequence[int]) -> None:
        with path.open("r+b" if path.exists() else "x+b") as file:
            for entry, place in zip(entries, places, strict=True):
                file.seek(place * self.row_bytes)
                file.write(entry.vector.tobytes())


def _places(connection: sqlite3.Connection, entries: Sequence[Entry]) -> list[int]:
    """The row of each entry: the one its key has, or the next behind the last."""
    known = dict(
        connection.execute(
            f"SELECT key, place FROM entries WHERE key IN ({','.join('?' * len(entries))})", [e.key for e in entries]
        )
    )
    after, count = connection.execute("SELECT coalesce(max(place), -1) + 1, count(*) FROM entries").fetchone()
    if after != count or not all(isinstance(place, int) and 0 <= place < count for place in known.values()):
        raise sqlite3.DatabaseError("the rows of the index do not follow one another")
    for entry in entries:
        if entry.key not in known:
            known[entry.key], after = after, after + 1
    return [known[entry.key] for entry in entries]


def _array_name(connection: sqlite3.Connection) -> str:
    """The name of the array file, drawn anew with every new index: rows of a lost index can never be mistaken."""
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('array', ?)", [f"vectors-{secrets.token_hex(4)}.bin"])
    name = connection.execute("SELECT value FROM meta WHERE name = 'array'").fetchone()[0]
    if not _is_array_name(name):
        raise sqlite3.DatabaseError("the index names a file that is not the store's")
    return str(name)


def _is_array_name(name: Any) -> bool:
    return isinstance(name, str) and re.fullmatch(r"vectors-[0-9a-f]{8}\.bin", name) is not None


def _checksum(entry: Entry) -> int:
    vector = np.ascontiguousarray(entry.vector).view(np.uint8)
    return zlib.crc32(entry.payload, zlib.crc32(vector, zlib.crc32(entry.key.encode())))  # type: ignore[arg-type]
