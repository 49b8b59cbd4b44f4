"""The feature store: one vector per image, by the SHA-256 of the image's file, in an SQLite file.

Any number of processes may read and write a store at once, and a process that is killed leaves it whole: SQLite's
transactions see to both. Each entry carries a checksum of its key, vector and payload; an entry that does not match
its checksum counts as missing and is computed again.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cnnviz.features import old_store
from cnnviz.features.database import Database

_SCHEMA = """
PRAGMA page_size = 16384;
CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, vector BLOB, payload BLOB, checksum INTEGER);
"""
# At SQLite's own page size of 4096 bytes a store of 512 floats a row takes 1.7 times the room.
_KEYS_PER_QUERY = 500  # SQLite bounds the number of variables


@dataclass(frozen=True)
class Entry:
    """One image's part of a store: the SHA-256 of its file, its vector (D,), and a few bytes beside it."""

    key: str
    vector: NDArray[Any]
    payload: bytes = b""


class Store:
    """Vectors of one length and dtype, by key.

    A store in the layout of version 0.1.0 (``index.sqlite`` and ``vectors-*.bin``) is converted when it is opened.

    Args:
        folder: the store's folder; created if it does not exist.
        width: D, the length of each vector.
        dtype: of the vectors; added vectors are converted to it.
        on_rebuilt: called with the path of a file that was damaged and has been replaced by an empty one.
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
        """How often the file was found damaged and replaced by an empty one."""
        self._database = Database(folder / "entries.sqlite", _SCHEMA, self._count_rebuilt)
        self._convert()

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of ``keys`` that have no sound entry, each once, in their order."""
        wanted = list(dict.fromkeys(keys))
        sound = {entry.key for entry in self.entries(wanted)}
        return [key for key in wanted if key not in sound]

    def vectors(self, keys: Sequence[str]) -> NDArray[Any]:
        """The vectors of ``keys`` (N, D), in their order.

        Raises:
            KeyError: one of them has no sound entry.
        """
        vectors = np.empty((len(keys), self.width), self.dtype)
        rows: dict[str, list[int]] = {}
        for row, key in enumerate(keys):
            rows.setdefault(key, []).append(row)
        for entry in self.entries(list(rows)):
            vectors[rows.pop(entry.key)] = entry.vector
        if rows:
            raise KeyError(next(iter(rows)))
        return vectors

    def payloads(self, keys: Sequence[str]) -> list[bytes]:
        """The bytes beside the vectors of ``keys``, in their order.

        Raises:
            KeyError: one of them has no sound entry.
        """
        found = {entry.key: entry.payload for entry in self.entries(list(dict.fromkeys(keys)))}
        return [found[key] for key in keys]

    def entries(self, keys: Sequence[str]) -> Iterator[Entry]:
        """The sound entries among ``keys``, in no particular order; memory does not grow with their number."""
        for start in range(0, len(keys), _KEYS_PER_QUERY):
            some = keys[start : start + _KEYS_PER_QUERY]
            query = f"SELECT key, vector, payload, checksum FROM entries WHERE key IN ({','.join('?' * len(some))})"
            for key, vector, payload, checksum in self._database.read(lambda c: c.execute(query, some).fetchall()):  # noqa: B023
                if self._is_sound(key, vector, payload, checksum):
                    yield Entry(key, np.frombuffer(vector, self.dtype), payload)

    def add(self, entries: Sequence[Entry]) -> None:
        """Keep all of ``entries``, or none if it fails; an entry whose key is there already is replaced."""
        rows = []
        for entry in entries:
            vector = np.ascontiguousarray(entry.vector, self.dtype).tobytes()
            rows.append((entry.key, vector, entry.payload, _checksum(entry.key, vector, entry.payload)))
        self._database.write(lambda c: c.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", rows))

    def close(self) -> None:
        """Close the file; it is opened again when it is used."""
        self._database.close()

    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in self.folder.iterdir() if file.is_file())

    def __len__(self) -> int:
        return int(self._database.read(lambda c: c.execute("SELECT count(*) FROM entries").fetchone()[0]))

    def _is_sound(self, key: Any, vector: Any, payload: Any, crc: Any) -> bool:
        if not (isinstance(key, str) and isinstance(vector, bytes) and isinstance(payload, bytes)):
            return False
        return len(vector) == self.width * self.dtype.itemsize and _checksum(key, vector, payload) == crc

    def _count_rebuilt(self, file: Path) -> None:
        self.rebuilt += 1
        if self._on_rebuilt:
            self._on_rebuilt(file)

    def _convert(self) -> None:
        """Take over the entries of a store in the layout of version 0.1.0, then remove its files."""
        if not old_store.exists(self.folder):
            return
        try:
            for rows in old_store.batches(self.folder, self.width * self.dtype.itemsize):
                sound = [row for row in rows if self._is_sound(*row)]
                self.add([Entry(key, np.frombuffer(vector, self.dtype), payload) for key, vector, payload, _ in sound])
        except old_store.DAMAGE:
            # Not damaged, but converted meanwhile by another process, if the index is gone.
            if self._on_rebuilt and old_store.exists(self.folder):
                self._on_rebuilt(old_store.index_of(self.folder))
        old_store.remove(self.folder)


def _checksum(key: str, vector: bytes, payload: bytes) -> int:
    """The CRC-32 of an entry's parts, one after another."""
    return zlib.crc32(payload, zlib.crc32(vector, zlib.crc32(key.encode())))
