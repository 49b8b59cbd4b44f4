"""Nearest neighbours against their definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.features import neighbors
from cnnviz.features.neighbors import nearest_agreement, uses_approximate


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)


def distances_by_definition(queries: np.ndarray, vectors: np.ndarray, metric: str) -> np.ndarray:
    if metric == "l2":
        return np.sqrt(((queries[:, None].astype(float) - vectors[None]) ** 2).sum(-1))
    unit = [v.astype(float) / np.linalg.norm(v.astype(float), axis=1, keepdims=True) for v in (queries, vectors)]
    return 1 - unit[0] @ unit[1].T


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("index", ["exact", "approximate"])
def test_nearest_are_nearest(vectors, metric, index):
    queries = np.random.default_rng(1).normal(size=(20, 16)).astype(np.float32)
    indices, distances = cnnviz.nearest_neighbors(torch.from_numpy(queries), vectors, 5, metric, index=index)
    expected = distances_by_definition(queries, vectors, metric)
    np.testing.assert_array_equal(indices, np.argsort(expected, axis=1)[:, :5])
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :5], rtol=1e-3, atol=1e-4)


def test_an_approximate_index_is_kept_and_built_again_when_damaged(vectors, tmp_path):
    file = tmp_path / "deep" / "index.usearch"
    first = cnnviz.nearest_neighbors(vectors[:3], vectors, 4, index="approximate", index_file=file)
    written = file.stat().st_mtime_ns
    again = cnnviz.nearest_neighbors(vectors[:3], vectors, 4, index="approximate", index_file=file)
    assert file.stat().st_mtime_ns == written
    np.testing.assert_array_equal(first[0], again[0])
    file.write_bytes(b"damaged" * 100)
    repaired = cnnviz.nearest_neighbors(vectors[:3], vectors, 4, index="approximate", index_file=file)
    np.testing.assert_array_equal(first[0], repaired[0])
    fewer = cnnviz.nearest_neighbors(vectors[:3], vectors[:100], 4, index="approximate", index_file=file)
    assert fewer[0].max() < 100


def test_an_approximate_index_is_the_same_each_time(tmp_path):
    """Built by several threads, it would depend on their timing."""
    vectors = np.random.default_rng(0).normal(size=(2000, 64)).astype(np.float32)
    files = [tmp_path / f"{name}.usearch" for name in "ab"]
    for file in files:
        cnnviz.nearest_neighbors(vectors[:1], vectors, 1, index="approximate", index_file=file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_an_index_of_other_vectors_in_its_place_is_not_trusted(vectors, tmp_path):
    """usearch would follow it, and a damaged one out of its memory."""
    file, other = tmp_path / "a.usearch", tmp_path / "b.usearch"
    for place, among in ((file, vectors), (other, vectors[::-1].copy())):
        cnnviz.nearest_neighbors(vectors[:3], among, 4, index="approximate", index_file=place)
    file.write_bytes(other.read_bytes())
    found, _ = cnnviz.nearest_neighbors(vectors[:3], vectors, 1, index="approximate", index_file=file)
    assert found[:, 0].tolist() == [0, 1, 2]


def test_as_scikit_learn_finds_them(vectors):
    from sklearn.neighbors import NearestNeighbors

    for metric, name in (("l2", "euclidean"), ("cosine", "cosine")):
        distances, indices = NearestNeighbors(n_neighbors=6, metric=name).fit(vectors).kneighbors(vectors[:50])
        found = cnnviz.nearest_neighbors(vectors[:50], vectors, 6, metric)
        np.testing.assert_array_equal(found[0], indices)
        np.testing.assert_allclose(found[1], distances, atol=2e-3 if metric == "l2" else 1e-5)


def test_near_copies_keep_their_small_distances():
    """Expanded into products, a distance of 1e-3 between vectors of length 1e3 would drown in rounding."""
    far = np.full((1, 64), 125.0, dtype=np.float32)
    near = far.copy()
    near[0, 0] += 1e-3
    _, distances = cnnviz.nearest_neighbors(far, np.concatenate([near, far * 2]), 1)
    assert distances[0, 0] == pytest.approx(1e-3, rel=0.02)


def test_no_more_than_there_are(vectors):
    indices, distances = cnnviz.nearest_neighbors(vectors[:2], vectors[:3], 10)
    assert indices.shape == distances.shape == (2, 3)


def test_what_cannot_be_done_is_said(vectors, monkeypatch):
    with pytest.raises(UsageError, match="no metric 'l1'; give one of l2, cosine"):
        cnnviz.nearest_neighbors(vectors, vectors, metric="l1")
    with pytest.raises(UsageError, match="no index 'tree'"):
        cnnviz.nearest_neighbors(vectors, vectors, index="tree")
    monkeypatch.setattr(neighbors, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'cnnviz\[index\]'"):
        cnnviz.nearest_neighbors(vectors, vectors, index="approximate")
    assert not uses_approximate("auto", 10**6)


def test_many_vectors_take_the_approximate_index():
    assert uses_approximate("auto", 50_000)
    assert not uses_approximate("auto", 49_999)
    assert not uses_approximate("exact", 10**6)


def test_agreement_counts_neighbours_of_the_same_class():
    points = np.array([[0.0], [0.1], [5.0], [5.2], [5.25], [9.0]])
    assert nearest_agreement(points, list("aabbab")) == pytest.approx(3 / 6)
    assert nearest_agreement(points, list("aabbbb")) == 1.0
    assert nearest_agreement(points[:1], ["a"]) == 0.0
    copies = np.zeros((4, 3))
    assert nearest_agreement(copies, list("aaaa")) == 1.0


def test_crops_of_a_photo_are_each_others_neighbours(squeezenet, crops):
    """In the space of features; the nearest crop is of the same photo for all but a few."""
    paths = sorted(crops.rglob("*.png"))
    vectors = torch.cat([cnnviz.embed_images(squeezenet, cnnviz.read_image(path, size=128)) for path in paths])
    assert nearest_agreement(vectors, [path.parent.name for path in paths]) >= 0.95
