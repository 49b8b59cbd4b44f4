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
    return Entry(f"key{number}", vector(number), f"note {number}".encode())


def assert_sound(store: Store, numbers: list[int]) -> None:
    keys = [f"key{n}" for n in numbers]
    np.testing.assert_array_equal(store.vectors(keys), np.stack([vector(n) for n in numbers]))
    assert store.payloads(keys) == [f"note {n}".encode() for n in numbers]


@pytest.fixture
def rebuilt() -> list[Path]:
    return []


@pytest.fixture
def store(tmp_path: Path, rebuilt: list[Path]) -> Store:
    return Store(tmp_path / "store", WIDTH, np.float32, rebuilt.append)


def array_file(store: Store) -> Path:
    (path,) = store.folder.glob("*.bin")
    return path


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


def test_an_entry_added_again_is_replaced_in_its_place(store: Store):
    store.add([entry(1), entry(2)])
    store.add([Entry("key1", vector(9), b"new")])
    np.testing.assert_array_equal(store.vectors(["key1", "key2"]), np.stack([vector(9), vector(2)]))
    assert array_file(store).stat().st_size == 2 * WIDTH * 4


def test_half_precision_takes_half_the_room(tmp_path: Path):
    store = Store(tmp_path / "half", WIDTH, np.float16)
    store.add([entry(n) for n in range(10)])
    assert array_file(store).stat().st_size == 10 * WIDTH * 2
    np.testing.assert_allclose(store.vectors(["key3"])[0], vector(3), rtol=1e-3)


@pytest.mark.parametrize("offset", [0, 5, WIDTH * 4 * 3 - 1])
def test_a_damaged_row_is_missing_and_the_others_are_not(store: Store, offset: int):
    store.add([entry(n) for n in range(3)])
    content = bytearray(array_file(store).read_bytes())
    content[offset] ^= 0x10
    array_file(store).write_bytes(content)
    lost = offset // (WIDTH * 4)
    assert store.missing([f"key{n}" for n in range(3)]) == [f"key{lost}"]
    store.add([entry(lost)])
    assert_sound(store, [0, 1, 2])


def test_a_shortened_array_loses_only_its_end(store: Store):
    store.add([entry(n) for n in range(6)])
    with array_file(store).open("r+b") as file:
        file.truncate(4 * WIDTH * 4 - 1)
    assert store.missing([f"key{n}" for n in range(6)]) == ["key3", "key4", "key5"]
    store.add([entry(n) for n in (3, 4, 5)])
    assert_sound(store, list(range(6)))


def test_a_lost_array_is_written_again(store: Store):
    store.add([entry(n) for n in range(3)])
    array_file(store).unlink()
    assert len(store.missing([f"key{n}" for n in range(3)])) == 3
    store.add([entry(n) for n in range(3)])
    assert_sound(store, [0, 1, 2])


@pytest.mark.parametrize("damage", ["text", "cut", "holes"])
def test_a_damaged_index_is_replaced_and_told_of(store: Store, rebuilt: list[Path], damage: str):
    store.add([entry(n) for n in range(200)])
    store.close()
    index = store.folder / "index.sqlite"
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


def test_rows_of_a_replaced_index_cannot_be_mistaken(store: Store):
    """The new index begins a new array file: a process that has the old one open may still write to it."""
    store.add([entry(n) for n in range(5)])
    old = array_file(store)
    store.close()
    (store.folder / "index.sqlite").write_text("broken " * 200)
    store.add([entry(9)])
    assert array_file(store).name != old.name
    old.write_bytes(b"\0" * 100)
    assert_sound(store, [9])


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
    entries = [Entry(f"key{n}", np.random.default_rng(n).normal(size=7).astype(np.float32), f"note {n}".encode())
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
        "UPDATE entries SET place = 'x' || key",
        "UPDATE entries SET place = NULL",
        "UPDATE entries SET place = -1 - place",
        "UPDATE entries SET place = place + 1000000000000",
        "UPDATE entries SET note = 7",
        "UPDATE entries SET note = CAST(x'ff' AS TEXT)",
        "UPDATE entries SET key = CAST(x'ff' || rowid AS TEXT)",
        "UPDATE entries SET checksum = 'none'",
        "UPDATE meta SET value = '../outside.bin'",
        "UPDATE meta SET value = NULL",
        "DELETE FROM meta",
        "DROP TABLE entries",
        "DROP TABLE meta",
        "ALTER TABLE entries RENAME COLUMN note TO other",
        "DROP TABLE entries; CREATE VIEW entries AS SELECT 'a' AS key, 1 AS place, x'' AS note, 2 AS checksum",
        "DROP TABLE entries; CREATE TABLE entries (key TEXT PRIMARY KEY, place INTEGER)",
    ],
)
def test_an_index_that_was_tampered_with_heals(store: Store, tmp_path: Path, statement: str):
    (tmp_path / "outside.bin").write_bytes(b"untouched")
    store.add([entry(n) for n in range(3)])
    store.close()
    with contextlib.closing(sqlite3.connect(store.folder / "index.sqlite")) as connection:
        connection.executescript(statement)
    keys = [f"key{n}" for n in range(4)]
    store.missing(keys)
    store.add([entry(n) for n in range(4) if f"key{n}" in store.missing(keys)])
    assert_sound(store, [0, 1, 2, 3])
    assert (tmp_path / "outside.bin").read_bytes() == b"untouched"
    assert store.size() < 100_000


def test_an_index_that_cannot_be_replaced_is_one_sentence(store: Store):
    store.add([entry(1)])
    store.close()
    index = store.folder / "index.sqlite"
    index.unlink()
    index.mkdir()
    with pytest.raises(ImageError, match=r"index\.sqlite' cannot be used"):
        store.missing(["key1"])


@pytest.mark.parametrize("seed", range(60))
def test_an_index_with_noise_in_it_heals(store: Store, seed: int):
    store.add([entry(n) for n in range(5)])
    store.close()
    index = store.folder / "index.sqlite"
    content, dice = bytearray(index.read_bytes()), random.Random(seed)
    pages = [0, *(start for start in range(0, len(content), 512) if any(content[start : start + 512]))]
    for _ in range(12):
        content[dice.choice(pages) + dice.randrange(512)] ^= dice.randrange(1, 256)
    index.write_bytes(content)
    keys = [f"key{n}" for n in range(5)]
    for _ in range(2):  # an index that is damaged where only writing comes is lost then
        due = store.missing(keys)
        store.add([entry(n) for n in range(5) if f"key{n}" in due])
    assert_sound(store, list(range(5)))
