"""The feature store: exact, whole after a kill, safe for two processes, and never trusted when damaged."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnviz.errors import ImageError
from cnnviz.features.store import Entry, Store

WIDTH = 7


def vector(number: int) -> np.ndarray:
    return np.random.default_rng(number).normal(size=WIDTH).astype(np.float32)


def entry(number: int) -> Entry:
    return Entry(f"key{number}", vector(number), f"payload {number}".encode())


def assert_sound(store: Store, numbers: list[int]) -> None:
    keys = [f"key{n}" for n in numbers]
    np.testing.assert_array_equal(store.vectors(keys), np.stack([vector(n) for n in numbers]))
    assert store.payloads(keys) == [f"payload {n}".encode() for n in numbers]


@pytest.fixture
def rebuilt() -> list[Path]:
    return []


@pytest.fixture
def store(tmp_path: Path, rebuilt: list[Path]) -> Store:
    return Store(tmp_path / "store", WIDTH, np.float32, rebuilt.append)


def file_of(store: Store) -> Path:
    return store.folder / "entries.sqlite"


def test_vectors_and_notes_come_back_in_the_order_asked_for(store: Store):
    store.add([entry(n) for n in range(20)])
    store.add([entry(n) for n in range(20, 25)])
    assert_sound(store, [24, 3, 3, 0, 19, 20])
    assert len(store) == 25
    assert store.missing(["key30", "key4", "key30", "key31"]) == ["key30", "key31"]
    with pytest.raises(KeyError, match="key99"):
        store.vectors(["key1", "key99"])


def test_a_store_opened_again_holds_what_was_added(store: Store, tmp_path: Path):
    store.add([entry(n) for n in range(5)])
    store.close()
    assert_sound(Store(tmp_path / "store", WIDTH), list(range(5)))


def test_more_keys_than_one_query_takes(store: Store):
    numbers = list(range(1_203))
    store.add([entry(n) for n in numbers[:700]])
    store.add([entry(n) for n in numbers[700:]])
    assert_sound(store, numbers[::-1])


def test_an_entry_added_again_replaces_the_first(store: Store):
    store.add([entry(1), entry(2)])
    store.add([Entry("key1", vector(9), b"new")])
    np.testing.assert_array_equal(store.vectors(["key1", "key2"]), np.stack([vector(9), vector(2)]))
    assert store.payloads(["key1"]) == [b"new"] and len(store) == 2


def test_half_precision_takes_half_the_room(tmp_path: Path):
    wide = np.random.default_rng(0).normal(size=2_000).astype(np.float32)
    stores = [Store(tmp_path / dtype, len(wide), dtype) for dtype in ("float16", "float32")]
    for store in stores:
        store.add([Entry(f"key{n}", wide) for n in range(100)])
    np.testing.assert_allclose(stores[0].vectors(["key3"])[0], wide, rtol=1e-3)
    assert stores[0].size() < 0.6 * stores[1].size()


def test_a_damaged_vector_is_missing_and_the_others_are_not(store: Store):
    store.add([entry(n) for n in range(3)])
    store.close()
    content = file_of(store).read_bytes()
    start = content.index(vector(1).tobytes())
    file_of(store).write_bytes(content[:start] + bytes([content[start] ^ 0x10]) + content[start + 1 :])
    assert store.missing([f"key{n}" for n in range(3)]) == ["key1"]
    store.add([entry(1)])
    assert_sound(store, [0, 1, 2])


@pytest.mark.parametrize("damage", ["text", "cut", "holes"])
def test_a_damaged_file_is_replaced_and_told_of(store: Store, rebuilt: list[Path], damage: str):
    store.add([entry(n) for n in range(200)])
    store.close()
    index = file_of(store)
    content = index.read_bytes()
    if damage == "text":
        index.write_text("no database at all, but long enough to have a header " * 50)
    elif damage == "cut":
        index.write_bytes(content[: len(content) // 2])
    else:
        index.write_bytes(content[:100] + b"\xff" * 3_000 + content[3_100:])
    assert len(store.missing([f"key{n}" for n in range(200)])) == 200
    assert rebuilt == [index]
    store.add([entry(n) for n in range(10)])
    assert_sound(store, list(range(10)))


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match=r"feature store .* cannot be used"):
        Store(tmp_path / "file" / "store", WIDTH).missing(["key"])


_WRITER = """
import sys, time, numpy as np
from pathlib import Path
from cnnviz.features.store import Entry, Store
folder, first, last, pause = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
store = Store(folder, 7)
for start in range(first, last, 4):
    entries = [Entry(f"key{n}", np.random.default_rng(n).normal(size=7).astype(np.float32), f"payload {n}".encode())
               for n in range(start, start + 4)]
    store.add(entries)
    print(start, flush=True)
    time.sleep(pause)
"""


def writer(folder: Path, first: int, last: int, pause: float = 0.0) -> subprocess.Popen:
    command = [sys.executable, "-c", _WRITER, str(folder), str(first), str(last), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_killed_writer_leaves_a_whole_store(store: Store, tmp_path: Path):
    process = writer(tmp_path / "store", 0, 100_000)
    assert process.stdout is not None
    for _ in range(5):
        process.stdout.readline()
    time.sleep(0.05)
    process.kill()
    process.communicate()
    kept = len(store)
    assert kept >= 20 and kept % 4 == 0
    assert_sound(store, list(range(kept)))
    store.add([entry(n) for n in range(kept, kept + 8)])
    assert_sound(store, list(range(kept + 8)))


def test_two_writers_at_once_lose_nothing(store: Store, tmp_path: Path):
    """Their ranges overlap, so that some keys are written by both."""
    processes = [writer(tmp_path / "store", 0, 160, 0.001), writer(tmp_path / "store", 80, 240, 0.001)]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert len(store) == 240
    assert_sound(store, list(range(240)))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 12), max_size=6, unique=True), max_size=6))
def test_any_sequence_of_additions(tmp_path_factory, batches: list[list[int]]):
    store = Store(tmp_path_factory.mktemp("any") / "store", WIDTH)
    for batch in batches:
        store.add([entry(n) for n in batch])
    there = sorted({n for batch in batches for n in batch})
    assert_sound(store, there) if there else None
    assert store.missing([f"key{n}" for n in range(13)]) == [f"key{n}" for n in range(13) if n not in there]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET vector = 'x' || key",
        "UPDATE entries SET vector = NULL",
        "UPDATE entries SET vector = x'00' || vector",
        "UPDATE entries SET vector = substr(vector, 2)",
        "UPDATE entries SET payload = 7",
        "UPDATE entries SET payload = CAST(x'ff' AS TEXT)",
        "UPDATE entries SET key = CAST(x'ff' || rowid AS TEXT)",
        "UPDATE entries SET checksum = 'none'",
        "DROP TABLE entries",
        "ALTER TABLE entries RENAME COLUMN payload TO other",
        "DROP TABLE entries; CREATE VIEW entries AS SELECT 'a' AS key, x'' AS vector, x'' AS payload, 2 AS checksum",
        "DROP TABLE entries; CREATE TABLE entries (key TEXT PRIMARY KEY, vector BLOB)",
    ],
)
def test_a_file_that_was_tampered_with_heals(store: Store, statement: str):
    store.add([entry(n) for n in range(3)])
    store.close()
    with contextlib.closing(sqlite3.connect(file_of(store))) as connection:
        connection.executescript(statement)
    keys = [f"key{n}" for n in range(4)]
    store.missing(keys)
    store.add([entry(n) for n in range(4) if f"key{n}" in store.missing(keys)])
    assert_sound(store, [0, 1, 2, 3])
    assert store.size() < 100_000


def test_a_file_that_cannot_be_replaced_is_one_sentence(store: Store):
    store.add([entry(1)])
    store.close()
    index = file_of(store)
    index.unlink()
    index.mkdir()
    with pytest.raises(ImageError, match=r"entries\.sqlite' cannot be used"):
        store.missing(["key1"])


@pytest.mark.parametrize("seed", range(60))
def test_a_file_with_noise_in_it_heals(store: Store, seed: int):
    store.add([entry(n) for n in range(5)])
    store.close()
    index = file_of(store)
    content, dice = bytearray(index.read_bytes()), random.Random(seed)
    pages = [0, *(start for start in range(0, len(content), 512) if any(content[start : start + 512]))]
    for _ in range(12):
        content[dice.choice(pages) + dice.randrange(512)] ^= dice.randrange(1, 256)
    index.write_bytes(content)
    keys = [f"key{n}" for n in range(5)]
    for _ in range(2):  # a file that is damaged where only writing comes is replaced then
        due = store.missing(keys)
        store.add([entry(n) for n in range(5) if f"key{n}" in due])
    assert_sound(store, list(range(5)))
