"""Projections: PCA against its definition, neighbourhoods kept, small and odd sets."""

from __future__ import annotations

import numpy as np
import pytest

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.features import projection
from cnnviz.features.array_cache import cached_arrays


@pytest.fixture(scope="module")
def blobs() -> tuple[np.ndarray, np.ndarray]:
    """Three well-parted clusters of 25 points in 40 dimensions, and which each point is of."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 40)) * 10
    kinds = np.repeat(np.arange(3), 25)
    return (centres[kinds] + rng.normal(size=(75, 40))).astype(np.float32), kinds


def same_neighbours(points: np.ndarray, kinds: np.ndarray) -> float:
    distances = ((points[:, None] - points[None]) ** 2).sum(-1)
    np.fill_diagonal(distances, np.inf)
    return float((kinds[distances.argmin(axis=1)] == kinds).mean())


def test_pca_is_the_two_directions_of_largest_variance():
    vectors = np.random.default_rng(0).normal(size=(60, 9)) * np.arange(1, 10)
    found = cnnviz.project(vectors, "pca")
    centred = vectors - vectors.mean(axis=0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ directions[:2].T
    for axis in range(2):
        sign = np.sign((found.points[:, axis] * expected[:, axis]).sum())
        np.testing.assert_allclose(found.points[:, axis], sign * expected[:, axis], rtol=1e-3, atol=1e-2)
    share = singular**2 / (singular**2).sum()
    assert found.remark == f"PCA: {share[0]:.0%} + {share[1]:.0%} of the variance".replace("%", " %")


@pytest.mark.parametrize("method", ["tsne", pytest.param("umap", marks=[pytest.mark.slow, pytest.mark.needs("umap")])])
def test_clusters_stay_together(blobs, method):
    vectors, kinds = blobs
    first = cnnviz.project(vectors, method, seed=3)
    assert same_neighbours(first.points, kinds) == 1.0
    np.testing.assert_array_equal(first.points, cnnviz.project(vectors, method, seed=3).points)


@pytest.mark.slow
@pytest.mark.needs("openTSNE")
def test_open_tsne_takes_over_for_many(blobs, monkeypatch):
    vectors, kinds = blobs
    monkeypatch.setattr(projection, "MANY", 50)
    assert same_neighbours(cnnviz.project(vectors, "tsne").points, kinds) == 1.0


@pytest.mark.parametrize("method", ["pca", "tsne"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_few_points(method, count):
    found = cnnviz.project(np.random.default_rng(0).normal(size=(count, 12)), method)
    assert found.points.shape == (count, 2)
    assert np.isfinite(found.points).all()


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_equal_vectors_and_one_dimension(method):
    assert np.isfinite(cnnviz.project(np.ones((20, 5)), method).points).all()
    assert np.isfinite(cnnviz.project(np.arange(20.0)[:, None], method).points).all()


def test_perplexity_adapts_to_small_sets_and_is_checked():
    vectors = np.random.default_rng(0).normal(size=(31, 6))
    assert cnnviz.project(vectors, "tsne").remark == "t-SNE, perplexity 10"
    assert cnnviz.project(vectors, "tsne", perplexity=4.5).remark == "t-SNE, perplexity 4.5"
    with pytest.raises(UsageError, match="perplexity of 31 does not fit 31 images: give 1 to 30"):
        cnnviz.project(vectors, "tsne", perplexity=31)


def test_missing_libraries_and_unknown_methods(blobs, monkeypatch):
    with pytest.raises(UsageError, match="no method 'mds'; give one of pca, tsne, umap"):
        cnnviz.project(blobs[0], "mds")
    monkeypatch.setattr(projection, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"UMAP needs umap-learn: pip install 'cnnviz\[embed\]'"):
        cnnviz.project(blobs[0], "umap")
    monkeypatch.setattr(projection, "MANY", 50)
    with pytest.raises(UsageError, match=r"75 images needs openTSNE: pip install 'cnnviz\[embed\]'"):
        cnnviz.project(blobs[0], "tsne")


def test_projections_are_remembered_unless_damaged(tmp_path):
    made = []

    def compute() -> dict[str, np.ndarray]:
        made.append(1)
        return {"points": np.arange(6, dtype=np.float32).reshape(3, 2), "remark": np.array("a remark, σ = 2")}

    path = tmp_path / "folder" / "map.npz"
    first, second = cached_arrays(path, compute), cached_arrays(path, compute)
    assert len(made) == 1
    np.testing.assert_array_equal(first["points"], second["points"])
    assert str(second["remark"]) == "a remark, σ = 2"
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    cached_arrays(path, compute)
    assert len(made) == 2
    assert [file.name for file in path.parent.iterdir()] == ["map.npz"]
