"""Stores in the layout of version 0.1.0 are converted when they are opened."""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cnnviz.features import old_store
from cnnviz.features.store import Store

VECTORS = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
KEYS = [f"key{n}" for n in range(len(VECTORS))]
PAYLOADS = [f"payload {n}".encode() for n in range(len(VECTORS))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store as version 0.1.0 wrote it."""
    (tmp_path / "vectors-0123abcd.bin").write_bytes(VECTORS.tobytes())
    with contextlib.closing(sqlite3.connect(tmp_path / "index.sqlite")) as connection:
        connection.executescript(
            "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT);"
            "CREATE TABLE entries (key TEXT PRIMARY KEY, place INTEGER UNIQUE, note BLOB, checksum INTEGER);"
        )
        connection.execute("INSERT INTO meta VALUES ('array', 'vectors-0123abcd.bin')")
        for place, (key, vector, payload) in enumerate(zip(KEYS, VECTORS, PAYLOADS, strict=True)):
            checksum = zlib.crc32(key.encode() + vector.tobytes() + payload)
            connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?)", (key, place, payload, checksum))
        connection.commit()
    return tmp_path


def change(folder: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(folder / "index.sqlite")) as connection:
        connection.executescript(statement)


def test_all_entries_are_taken_over_and_the_old_files_removed(folder: Path):
    rebuilt: list[Path] = []
    store = Store(folder, 7, np.float32, rebuilt.append)
    np.testing.assert_array_equal(store.vectors(KEYS), VECTORS)
    assert store.payloads(KEYS) == PAYLOADS and rebuilt == []
    store.close()
    assert [path.name for path in folder.iterdir()] == ["entries.sqlite"]
    np.testing.assert_array_equal(Store(folder, 7).vectors(KEYS), VECTORS)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET place = 'x' WHERE key = 'key3'",
        "UPDATE entries SET place = -4 WHERE key = 'key3'",
        "UPDATE entries SET place = 1000 WHERE key = 'key3'",
        "UPDATE entries SET note = x'00' WHERE key = 'key3'",
        "UPDATE entries SET checksum = 'none' WHERE key = 'key3'",
    ],
)
def test_a_damaged_entry_is_missing(folder: Path, statement: str):
    change(folder, statement)
    store = Store(folder, 7)
    assert store.missing(KEYS) == ["key3"]
    np.testing.assert_array_equal(store.vectors(KEYS[:3]), VECTORS[:3])


@pytest.mark.parametrize("statement", ["DROP TABLE meta", "DROP TABLE entries"])
def test_a_damaged_index_is_reported_and_the_store_is_empty(folder: Path, statement: str):
    change(folder, statement)
    rebuilt: list[Path] = []
    store = Store(folder, 7, np.float32, rebuilt.append)
    assert store.missing(KEYS) == KEYS and rebuilt == [folder / "index.sqlite"]
    assert not (folder / "index.sqlite").exists()


@pytest.mark.parametrize("value", ["'../outside.bin'", "NULL", "'vectors-ffffffff.bin'"])
def test_only_the_stores_own_file_is_read(folder: Path, value: str):
    (folder.parent / "outside.bin").write_bytes(VECTORS.tobytes())
    change(folder, f"UPDATE meta SET value = {value}")
    assert Store(folder, 7).missing(KEYS) == KEYS
    assert (folder.parent / "outside.bin").exists()


def test_a_store_that_another_process_has_just_converted_is_not_reported(folder: Path, monkeypatch: pytest.MonkeyPatch):
    read = old_store.batches

    def converted_first(folder: Path, row_bytes: int) -> Iterator[list[old_store.Row]]:
        monkeypatch.setattr(old_store, "batches", read)
        assert Store(folder, 7).missing(KEYS) == []
        return read(folder, row_bytes)

    monkeypatch.setattr(old_store, "batches", converted_first)
    rebuilt: list[Path] = []
    store = Store(folder, 7, np.float32, rebuilt.append)
    assert rebuilt == [] and store.missing(KEYS) == []
    store.close()
    assert [path.name for path in folder.iterdir()] == ["entries.sqlite"]
