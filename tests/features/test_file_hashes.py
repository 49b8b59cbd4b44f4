"""Remembered contents: changed and deleted files are noticed, unchanged ones are not read again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
from pathlib import Path

import pytest

from cnnviz.features import file_hashes
from cnnviz.features.file_hashes import FileHashes

_LONG_AGO = time.time_ns() - 10**12


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three files last changed long ago."""
    folder = tmp_path / "files"
    folder.mkdir()
    paths = [folder / name for name in ("a.png", "b.png", "ü☃.png")]
    for path in paths:
        path.write_bytes(path.name.encode())
        os.utime(path, ns=(_LONG_AGO, _LONG_AGO))
    return paths


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read, as they are read."""
    seen: list[Path] = []
    monkeypatch.setattr(file_hashes, "sha256", lambda path: seen.append(path) or _digest(path))
    return seen


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_keys_are_the_files_sha256_and_read_once(tmp_path: Path, files: list[Path], read: list[Path]):
    expected = [_digest(path) for path in files]
    assert FileHashes(tmp_path).keys(files) == expected
    assert len(read) == 3
    assert FileHashes(tmp_path).keys(files) == expected
    assert len(read) == 3


def test_changed_files_are_noticed(tmp_path: Path, files: list[Path]):
    known = FileHashes(tmp_path)
    before = known.keys(files)
    files[0].write_bytes(b"longer than before")
    files[1].write_bytes(b"c.png")  # as long as before
    after = known.keys(files)
    assert after == [_digest(path) for path in files]
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, False, True]


def test_a_file_changed_just_now_is_not_trusted(tmp_path: Path, files: list[Path]):
    """It may change again within the clock's grain: same size, same time, other content."""
    known = FileHashes(tmp_path)
    now = time.time_ns()
    files[0].write_bytes(b"one")
    os.utime(files[0], ns=(now, now))
    first = known.keys(files[:1])
    files[0].write_bytes(b"two")
    os.utime(files[0], ns=(now, now))
    assert known.keys(files[:1]) != first


def test_what_cannot_be_read_has_no_key(tmp_path: Path, files: list[Path]):
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
    asked = [files[0], tmp_path / "none.png", tmp_path / "pipe.png", tmp_path]
    assert FileHashes(tmp_path).keys(asked) == [_digest(files[0]), None, None, None]


def test_names_that_are_no_unicode(tmp_path: Path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.png"))
    path.write_bytes(b"picture")
    assert FileHashes(tmp_path).keys([path]) == [_digest(path)]


def test_deleted_files_are_noticed_below_their_folder_only(tmp_path: Path, files: list[Path]):
    known = FileHashes(tmp_path)
    other = tmp_path / "files2.png"
    other.write_bytes(b"elsewhere")
    known.keys([*files, other])
    files[1].unlink()
    other.unlink()
    assert known.forget_missing(tmp_path / "files") == 1
    assert known.forget_missing(tmp_path / "files") == 0
    assert known.forget_missing(tmp_path) == 1


def test_a_damaged_table_is_replaced(tmp_path: Path, files: list[Path]):
    FileHashes(tmp_path).keys(files)
    (tmp_path / "files.sqlite").write_text("damage " * 300)
    told: list[Path] = []
    assert FileHashes(tmp_path, told.append).keys(files) == [_digest(path) for path in files]
    assert told == [tmp_path / "files.sqlite"]


@pytest.mark.parametrize(
    "change", ["size = 'x'", "modified = NULL", "hashed = 'later'", "key = NULL", "key = '../a'", "key = x'ff'"]
)
def test_what_was_tampered_with_is_worked_out_again(tmp_path: Path, files: list[Path], change: str):
    store = FileHashes(tmp_path / "store")
    keys = store.keys(files)
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "store" / "files.sqlite")) as connection:
        connection.execute(f"UPDATE files SET {change}")
        connection.commit()
    assert FileHashes(tmp_path / "store").keys(files) == keys
