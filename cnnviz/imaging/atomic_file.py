"""Atomic writing: a file appears complete under its name, or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(target: Path, *, overwrite: bool = True, suffix: str = ".tmp") -> Iterator[Path]:
    """A temporary path beside ``target`` to write to, renamed to ``target`` when the block ends without an error.

    The temporary file is hidden, in the same folder, and deleted if the block fails.

    Args:
        target: The file to write.
        overwrite: Replace an existing file; a link is replaced itself, not what it points to. False raises
            FileExistsError at the end of the block, also if the file was made in the meantime.
        suffix: Extension of the temporary file, for writers that choose the format by it.
    """
    temporary = temporary_path(target.parent, suffix)
    try:
        yield temporary
        if overwrite:
            temporary.replace(target)
        else:
            _rename_to_new(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_path(folder: Path, suffix: str = ".tmp") -> Path:
    """A hidden path in ``folder`` that no other file has."""
    return folder / f".cnnviz-{secrets.token_hex(6)}{suffix}"


def _rename_to_new(temporary: Path, target: Path) -> None:
    """Rename, or raise FileExistsError if there is a ``target`` by now: a hard link cannot overwrite."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except (OSError, AttributeError):  # a file system, or a Python, without hard links: reserve the name instead
        target.open("xb").close()
        try:
            temporary.replace(target)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
