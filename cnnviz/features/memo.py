"""Projections kept on disk: half a minute of t-SNE need not be spent twice on one set of pictures."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cnnviz.features.projection import Projection


def remembered(path: Path, compute: Callable[[], Projection]) -> Projection:
    """The projection kept at ``path`` if it is there and whole, else the one computed now, which is kept."""
    found = _read(path)
    if found is None:
        found = compute()
        _write(path, found)
    return found


def _read(path: Path) -> Projection | None:
    """The file's first 32 bytes are the SHA-256 of the rest; what does not fit it is not trusted."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, body = content[:32], content[32:]
    if hashlib.sha256(body).digest() != digest:
        return None
    with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
        return Projection(arrays["points"], json.loads(str(arrays["remark"])))


def _write(path: Path, projection: Projection) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, points=projection.points, remark=np.array(json.dumps(projection.remark)))
    body = buffer.getvalue()
    scrap = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scrap.write_bytes(hashlib.sha256(body).digest() + body)
        scrap.replace(path)
    except OSError:
        scrap.unlink(missing_ok=True)  # a full disk costs the next run some time, no more
