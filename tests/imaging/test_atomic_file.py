"""A file that is written atomically is whole or not there, and leaves nothing beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnviz.imaging.atomic_file import atomic_path


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    with atomic_path(target, suffix=".part") as temporary:
        temporary.write_bytes(b"content")
        assert temporary.suffix == ".part" and not target.exists()
    assert target.read_bytes() == b"content"
    assert list(tmp_path.iterdir()) == [target]


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "file.bin") as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("links", [True, False])
def test_an_existing_file_is_kept_unless_it_may_be_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.delattr("os.link")
    target = tmp_path / "file.bin"
    with atomic_path(target, overwrite=False) as temporary:
        temporary.write_bytes(b"first")
    with pytest.raises(FileExistsError), atomic_path(target, overwrite=False) as temporary:
        temporary.write_bytes(b"second")
    assert target.read_bytes() == b"first"
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"third")
    assert target.read_bytes() == b"third"
    assert list(tmp_path.iterdir()) == [target]
