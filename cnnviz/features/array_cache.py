"""Arrays cached on disk, such as a projection by t-SNE, which takes half a minute for some thousand images."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnviz.imaging.atomic_file import atomic_path

Arrays = Mapping[str, NDArray[Any]]


def cached_arrays(path: Path, compute: Callable[[], Arrays]) -> Arrays:
    """The arrays in the file ``path`` if it is there and undamaged, else those computed now and saved there."""
    found = _read(path)
    if found is None:
        found = compute()
        _write(path, found)
    return found


def _read(path: Path) -> Arrays | None:
    """The file's arrays, or None; its first 32 bytes are the SHA-256 of its name and the rest."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, body = content[:32], content[32:]
    if _digest(path, body) != digest:
        return None
    with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
        return dict(arrays)


def _digest(path: Path, body: bytes) -> bytes:
    return hashlib.sha256(path.name.encode() + body).digest()


def _write(path: Path, arrays: Arrays) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    body = buffer.getvalue()
    with suppress(OSError):  # a full disk: the next run computes the arrays again
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.write_bytes(_digest(path, body) + body)
