"""Nearest neighbors among feature vectors."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cnnviz.errors import UsageError
from cnnviz.features.settings import INDEXES, METRICS
from cnnviz.imaging.atomic_file import atomic_path
from cnnviz.network.hashing import sha256

MANY = 50_000
"""The number of vectors from which ``auto`` uses an approximate index, where usearch is installed."""

_BLOCK = 1_000  # vectors converted to float32 at a time


def nearest_neighbors(
    queries: Any, vectors: Any, k: int = 10, metric: str = "l2", *, index: str = "auto", index_file: Path | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The ``k`` vectors nearest to each query.

    In the feature space of a network's last layers neighbors share their content, while in pixel space they share
    little but background and brightness: Krizhevsky, Sutskever & Hinton, NIPS 2012, section 6.1, figure 4.

    Args:
        queries: (Q, D), tensor or array.
        vectors: (N, D), tensor or array.
        k: the number of neighbors; at most N are returned.
        metric: ``l2`` (Euclidean) or ``cosine`` (1 minus the cosine of the angle).
        index: ``exact``, ``approximate`` (usearch's HNSW graph: Malkov & Yashunin, TPAMI 2020,
            arXiv:1603.09320), or ``auto``: exact below 50,000 vectors or where usearch is not installed.
        index_file: where to save the approximate index for the next search.

    Returns:
        Indices (Q, k) into ``vectors``, nearest first, and their distances (Q, k).

    Raises:
        UsageError: an unknown metric or index, or an approximate index without usearch.

    Example:
        >>> vectors = torch.tensor([[0.0, 0.0], [1.0, 0.0], [5.0, 5.0]])
        >>> cnnviz.nearest_neighbors(vectors[:1], vectors, k=2)[0].tolist()
        [[0, 1]]
    """
    if metric not in METRICS:
        raise UsageError(f"There is no metric '{metric}'; give one of {', '.join(METRICS)}.")
    k = min(k, len(vectors))
    if uses_approximate(index, len(vectors)):
        return _approximate(_as_array(queries), _as_array(vectors), k, metric, index_file)
    return _exact(queries, vectors, k, metric)


def uses_approximate(index: str, count: int) -> bool:
    """Whether ``index`` means the approximate index for ``count`` vectors."""
    if index not in INDEXES:
        raise UsageError(f"There is no index '{index}'; give auto, exact or approximate.")
    if index == "approximate" and not find_spec("usearch"):
        raise UsageError("The approximate index needs usearch: pip install 'cnnviz[index]'.", remedy="exact_index")
    return index == "approximate" or (index == "auto" and count >= MANY and find_spec("usearch") is not None)


def nearest_agreement(vectors: Any, classes: Sequence[str]) -> float:
    """The fraction of vectors (N, D) whose nearest other vector has the same class; 0 if there is only one."""
    if len(vectors) < 2:
        return 0.0
    array = torch.from_numpy(_as_array(vectors))
    names = np.asarray(classes)
    agreeing = 0
    for start in range(0, len(array), 500):  # by torch: importing scikit-learn takes longer than this
        distances = torch.cdist(array[start : start + 500], array)
        distances[torch.arange(len(distances)), torch.arange(start, start + len(distances))] = torch.inf
        nearest = distances.argmin(dim=1).numpy()
        agreeing += int((names[nearest] == names[start : start + len(nearest)]).sum())
    return agreeing / len(array)


def _as_array(values: Any) -> NDArray[np.float32]:
    array = values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)
    return array.reshape(len(array), -1).astype(np.float32, copy=False)


def _exact(asked: Any, among: Any, k: int, metric: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Exact search by all distances, in torch: scikit-learn takes longer to import than this takes.

    L2 distances are computed from differences, not from dot products, which lose precision for near copies. Vectors
    are converted to float32 in blocks, so that no second copy of all is needed.
    """
    queries = torch.from_numpy(_as_array(asked))
    found = [
        _distances(queries, torch.from_numpy(_as_array(among[start : start + _BLOCK])), metric)
        for start in range(0, len(among), _BLOCK)
    ]
    distances = torch.cat(found, dim=1)
    order = distances.argsort(dim=1, stable=True)[:, :k]  # ties in the order of the vectors
    return order.numpy(), distances.gather(1, order).numpy()


def _distances(asked: Tensor, among: Tensor, metric: str) -> Tensor:
    if metric == "cosine":
        return 1 - nn.functional.normalize(asked) @ nn.functional.normalize(among).T
    return torch.cdist(asked, among, compute_mode="donot_use_mm_for_euclid_dist")


def _approximate(
    queries: NDArray[np.float32], vectors: NDArray[np.float32], k: int, metric: str, file: Path | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Approximate search: more candidates than ``k`` from the graph, ranked by their exact distances."""
    found = _graph(vectors, metric, file).search(queries, min(max(2 * k, 32), len(vectors)))
    indices = np.asarray(found.keys).reshape(len(queries), -1).astype(np.int64)
    chosen, asked = vectors[indices], queries[:, None]
    if metric == "l2":
        distances = np.linalg.norm(chosen - asked, axis=2)
    else:
        lengths = np.linalg.norm(chosen, axis=2) * np.linalg.norm(asked, axis=2)
        distances = 1 - (chosen * asked).sum(axis=2) / np.maximum(lengths, 1e-12)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    ranked = np.take_along_axis(distances, order, axis=1)
    return np.take_along_axis(indices, order, axis=1), ranked.astype(np.float32)


def _graph(vectors: NDArray[np.float32], metric: str, file: Path | None) -> Any:
    """The HNSW graph over ``vectors``, from ``file`` if it holds one of the same size.

    The SHA-256 beside the file is checked first: usearch reads invalid memory when it loads a damaged file.
    """
    from usearch.index import Index

    settings: dict[str, Any] = {"metric": "l2sq" if metric == "l2" else "cos", "dtype": "f32", "expansion_search": 128}
    graph = Index(ndim=vectors.shape[1], **settings)
    if file is not None and _is_whole(file):
        try:
            graph.load(str(file))
            if len(graph) == len(vectors) and graph.ndim == vectors.shape[1]:
                return graph
        except (RuntimeError, ValueError):
            pass  # damaged: built again below
        graph = Index(ndim=vectors.shape[1], **settings)
    graph.add(np.arange(len(vectors)), vectors, threads=1)  # by several, the graph would depend on their timing
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as temporary:
            graph.save(str(temporary))
            digest = sha256(temporary)
        _digest_file(file).write_text(digest, encoding="ascii")
    return graph


def _digest_file(file: Path) -> Path:
    return file.with_suffix(".sha256")


def _is_whole(file: Path) -> bool:
    try:
        return _digest_file(file).read_bytes() == sha256(file).encode()
    except OSError:
        return False
