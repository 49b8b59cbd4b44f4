"""Projections of feature vectors to points in the plane: PCA, t-SNE, UMAP."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnviz.errors import UsageError
from cnnviz.features.settings import PROJECTIONS

MANY = 10_000
"""The number of points above which t-SNE runs in openTSNE, whose time grows only linearly."""

_REDUCED = 50  # dimensions after PCA, before t-SNE, as van der Maaten & Hinton used


@dataclass(frozen=True)
class Projection:
    """Points (N, 2), and the method and its settings in words, for a caption."""

    points: NDArray[np.float32]
    remark: str


def project(
    vectors: Any, method: str = "tsne", *, perplexity: float | None = None, neighbors: int | None = None, seed: int = 0
) -> Projection:
    """Vectors as points in the plane.

    t-SNE and UMAP preserve neighborhoods; the sizes of clusters and the distances between them carry no meaning.

    Args:
        vectors: (N, D), tensor or array.
        method: ``pca`` (the two directions of largest variance), ``tsne`` (van der Maaten & Hinton, JMLR 2008;
            Barnes-Hut), or ``umap`` (McInnes, Healy & Melville 2018, arXiv:1802.03426; needs umap-learn).
        perplexity: of t-SNE, about the number of neighbors of each point; None for 30, less below 91 points.
        neighbors: of UMAP; None for 15, less for small sets.
        seed: of t-SNE and UMAP.

    Raises:
        UsageError: an unknown method, a perplexity that does not fit the number of points, or a missing library.

    Example:
        >>> cnnviz.project(torch.rand(20, 64), "pca").points.shape
        (20, 2)
    """
    check_method(method)
    array = vectors.detach().cpu().numpy() if hasattr(vectors, "detach") else np.asarray(vectors)
    array = array.reshape(len(array), -1).astype(np.float32)
    if len(array) < 3:
        line = np.stack([np.arange(len(array)), np.zeros(len(array))], axis=1)
        return Projection(line.astype(np.float32), f"{len(array)} of them lie as they come")
    if method == "pca":
        return _pca(array)
    if method == "umap":
        return _umap(array, neighbors, seed)
    return _tsne(array, perplexity, seed)


def check_method(method: str) -> None:
    """UsageError for an unknown method, or one whose library is not installed."""
    if method not in PROJECTIONS:
        raise UsageError(f"There is no method '{method}'; give one of {', '.join(PROJECTIONS)}.")
    if method == "umap" and not find_spec("umap"):
        raise UsageError("UMAP needs umap-learn: pip install 'cnnviz[embed]'.", remedy="use_tsne")


def _pca(vectors: NDArray[np.float32]) -> Projection:
    from sklearn.decomposition import PCA

    pca = PCA(n_components=min(2, *vectors.shape), svd_solver="full" if min(vectors.shape) < 500 else "auto")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # equal vectors have no variance
        points = pca.fit_transform(vectors)
    if points.shape[1] < 2:
        points = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    first, second = [*np.nan_to_num(pca.explained_variance_ratio_), 0.0][:2]
    remark = f"PCA: {first:.0%} + {second:.0%} of the variance".replace("%", " %")
    return Projection(points.astype(np.float32), remark)


def _tsne(vectors: NDArray[np.float32], perplexity: float | None, seed: int) -> Projection:
    count = len(vectors)
    if perplexity is None:
        perplexity = max(1.0, min(30.0, (count - 1) / 3))
    elif not 1 <= perplexity < count:
        raise UsageError(f"A perplexity of {perplexity:g} does not fit {count} images: give 1 to {count - 1}.")
    reduced = _reduced(vectors, seed)
    run = _open_tsne if count > MANY else _scikit_tsne
    return Projection(run(reduced, perplexity, seed), f"t-SNE, perplexity {perplexity:.3g}")


def _reduced(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """The vectors projected to their 50 directions of largest variance: faster, and with less noise."""
    from sklearn.decomposition import PCA

    if vectors.shape[1] <= _REDUCED or len(vectors) <= _REDUCED:
        return vectors
    return PCA(n_components=_REDUCED, random_state=seed).fit_transform(vectors).astype(np.float32)


def _scikit_tsne(vectors: NDArray[np.float32], perplexity: float, seed: int) -> NDArray[np.float32]:
    from sklearn.manifold import TSNE

    start: Any = "pca" if vectors.shape[1] > 1 and float(vectors.std()) > 0 else "random"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # equal vectors make PCA divide by zero variance, without harm
        return TSNE(perplexity=perplexity, init=start, random_state=seed).fit_transform(vectors)


def _open_tsne(vectors: NDArray[np.float32], perplexity: float, seed: int) -> NDArray[np.float32]:
    if not find_spec("openTSNE"):
        raise UsageError(
            f"t-SNE of {len(vectors):,} images needs openTSNE: pip install 'cnnviz[embed]'.", remedy="use_pca"
        )
    from openTSNE import TSNE

    return np.asarray(TSNE(perplexity=perplexity, random_state=seed, n_jobs=-1).fit(vectors), dtype=np.float32)


def _umap(vectors: NDArray[np.float32], neighbors: int | None, seed: int) -> Projection:
    from umap import UMAP

    count = min(neighbors or 15, len(vectors) - 1)
    # Below a dozen points the spectral start asks for more eigenvectors than there are.
    start = "spectral" if len(vectors) > 12 else "random"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # UMAP warns that a seed prevents parallelism
        points = UMAP(n_neighbors=max(2, count), init=start, random_state=seed).fit_transform(vectors)
    return Projection(np.asarray(points, dtype=np.float32), f"UMAP, {max(2, count)} neighbors")
