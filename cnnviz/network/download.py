"""torchvision's published weights in torch.hub's cache, and their download.

A file is in the cache whole or not at all: torch.hub downloads to a temporary file, checks its SHA-256 and renames it.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from cnnviz.errors import ModelError
from cnnviz.network.catalogue import PublishedWeights
from cnnviz.network.hashing import sha256

_REACH_SECONDS = 3.0


_forbidden: ContextVar[bool] = ContextVar("internet access forbidden", default=False)


@contextmanager
def internet_access(*, allowed: bool) -> Iterator[None]:
    """The context in which nothing is fetched unless ``allowed`` and the user's environment allows it too."""
    token = _forbidden.set(_forbidden.get() or not allowed)
    try:
        yield
    finally:
        _forbidden.reset(token)


def offline() -> bool:
    """Whether internet access is forbidden, by ``internet_access`` or the environment variable ``CNNVIZ_OFFLINE``."""
    return _forbidden.get() or os.environ.get("CNNVIZ_OFFLINE", "").lower() not in ("", "0", "false", "no")


def is_cached(weights: PublishedWeights) -> bool:
    """Whether the weights are in the cache."""
    return weights.path.is_file()


def can_download(weights: PublishedWeights) -> bool:
    """Whether the server of the weights answers within three seconds."""
    if offline():
        return False
    from urllib.request import Request, urlopen  # honors the user's proxy settings

    try:
        with urlopen(Request(weights.url, method="HEAD"), timeout=_REACH_SECONDS):
            return True
    except OSError:
        return False


def fetch(weights: PublishedWeights, *, force: bool = False, progress: bool = False) -> Path:
    """The cached file, downloaded first if it is missing, or always with ``force``.

    Raises ModelError with what to do if it is missing and internet access is forbidden or fails.
    """
    if is_cached(weights) and not force:
        return weights.path
    if offline():
        raise _unavailable(weights, "internet access is switched off (CNNVIZ_OFFLINE)")
    from torch.hub import download_url_to_file

    try:
        weights.path.parent.mkdir(parents=True, exist_ok=True)
        download_url_to_file(weights.url, str(weights.path), weights.hash_prefix, progress=progress)
    except (OSError, RuntimeError) as error:
        raise _unavailable(weights, f"downloading them failed: {_why(error)}") from error
    return weights.path


def _why(error: Exception) -> str:
    """The reason of a failed download, without the number that the operating system gives it."""
    reason = getattr(error, "reason", error)
    text = getattr(reason, "strerror", None) or str(reason)
    place = getattr(reason, "filename", None)
    return f"{text} ('{place}')" if place else text


def _unavailable(weights: PublishedWeights, reason: str) -> ModelError:
    return ModelError(
        f"The weights {weights.name} of {weights.model} are not on this machine, and {reason}. Copy {weights.file} to "
        f"{weights.path.parent} from a machine that has them, or use squeezenet1_1, which is built in.",
        remedy="fetch_elsewhere",
        model=weights.model,
        weights=weights.name,
    )


def verify(weights: PublishedWeights) -> str:
    """The SHA-256 of a cached file; ModelError if it is damaged.

    An intact archive with another hash than the published one is accepted as the user's own.
    """
    digest = sha256(weights.path)
    if not digest.startswith(weights.hash_prefix) and _is_damaged(weights.path):
        raise damaged(weights)
    return digest


def is_genuine(weights: PublishedWeights, digest: str) -> bool:
    """Whether a SHA-256 is that of the published file."""
    return digest.startswith(weights.hash_prefix)


def damaged(weights: PublishedWeights) -> ModelError:
    """The error for a damaged file in the cache."""
    return ModelError(
        f"The cached weights file {weights.path} is truncated or corrupt.",
        remedy="fetch_again",
        model=weights.model,
        weights=weights.name,
    )


def _is_damaged(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return True
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is not None
    except Exception:  # damaged archives fail in many ways: unknown compressions, passwords, bad names
        return True
