"""Filling the store: only what is missing, whatever interrupts it, with the numbers the network gives."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import cnnviz
from cnnviz.errors import ImageError
from cnnviz.features.batching import Batches
from cnnviz.features.feature_index import (
    FeatureStoreRoot,
    Preprocessing,
    build_index,
    channel_maxima_feature,
    pooled_feature,
    predictions,
    thumbnail_feature,
)
from cnnviz.features.file_hashes import FileHashes
from cnnviz.features.maps import map_layer
from cnnviz.features.thumbnails import open_thumbnail, pixel_vector
from cnnviz.features.top_activations import ChannelMaxima
from cnnviz.imaging.image_io import read_pil_image
from cnnviz.imaging.pixels import to_pixels
from cnnviz.runtime.prefetch import prefetch

SIZE = 64


@pytest.fixture(scope="module")
def files(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    paths = sorted(crops.rglob("*.png"))
    keys = FileHashes(tmp_path_factory.mktemp("known")).keys(paths)
    return {key: path for key, path in zip(keys, paths, strict=True) if key}


class Reader:
    """Reads pictures, counts them, and can be told to stop or fail."""

    def __init__(self, stop_after: int | None = None, broken: tuple[Path, ...] = ()) -> None:
        self.read: list[Path] = []
        self._stop_after, self._broken = stop_after, broken

    def __call__(self, path: Path):
        if self._stop_after is not None and len(self.read) >= self._stop_after:
            raise KeyboardInterrupt
        if path in self._broken:
            raise ImageError(f"'{path}' is broken.")
        self.read.append(path)
        photo = read_pil_image(path)
        return photo, to_pixels(photo, SIZE)


def test_vectors_and_predictions_are_the_networks(squeezenet, files, tmp_path):
    home = FeatureStoreRoot(tmp_path)
    features, looks = pooled_feature(squeezenet, None, home, Preprocessing(SIZE)), thumbnail_feature(home, "white")
    steps = []
    stats = build_index(files, [features, looks], Reader(), steps.append, batch=5)
    assert (stats.computed, stats.kept, stats.failed) == (len(files), 0, {})
    assert steps[-1].step == steps[-1].total == len(files)
    keys = list(files)
    pixels = torch.cat([to_pixels(read_pil_image(path), SIZE) for path in files.values()])
    expected = cnnviz.embed_images(squeezenet, pixels)
    np.testing.assert_allclose(features.store.vectors(keys), expected.numpy(), rtol=1e-4, atol=1e-3)
    top = squeezenet(pixels).softmax(1).max(1)
    guesses = predictions(features, keys)
    assert [index for index, _ in guesses] == top.indices.tolist()
    assert [p for _, p in guesses] == pytest.approx(top.values.tolist(), abs=1e-4)
    first = read_pil_image(files[keys[0]])
    np.testing.assert_array_equal(looks.store.vectors(keys[:1])[0], pixel_vector(first))
    thumb = np.asarray(open_thumbnail(looks.store.payloads(keys[:1])[0]), dtype=float)
    assert np.abs(thumb - np.asarray(first, dtype=float)).mean() < 8  # a JPEG of the same picture


def test_peaks_are_kept_as_they_are_found(squeezenet, files, tmp_path):
    layer = map_layer(squeezenet, "fire5")
    feature = channel_maxima_feature(squeezenet, layer, FeatureStoreRoot(tmp_path), Preprocessing(SIZE))
    build_index(files, [feature], Reader())
    key, path = next(iter(files.items()))
    kept = ChannelMaxima.unpack(feature.store.vectors([key]))
    maps = squeezenet.features(to_pixels(read_pil_image(path), SIZE), ["fire5"])["fire5"][0]
    for channel in (0, 17, 255):
        assert kept.values[0, channel] == pytest.approx(float(maps[channel].max()), rel=1e-4, abs=1e-3)
        at = maps[channel, kept.rows[0, channel], kept.columns[0, channel]]
        assert float(at) == pytest.approx(float(maps[channel].max()), rel=1e-4, abs=1e-3)


def test_an_interrupted_run_goes_on_where_it_was(squeezenet, files, tmp_path):
    def run(reader: Reader):
        home = FeatureStoreRoot(tmp_path)
        features = [pooled_feature(squeezenet, None, home, Preprocessing(SIZE)), thumbnail_feature(home, "white")]
        return features, build_index(files, features, reader, batch=4)

    with pytest.raises(KeyboardInterrupt):
        run(Reader(stop_after=13))
    second = Reader()
    features, stats = run(second)
    assert stats.kept == 12  # three whole batches; the thirteenth picture was read but not yet seen
    assert len(second.read) == stats.computed == len(files) - 12
    third = Reader()
    _, stats = run(third)
    assert third.read == [] and stats.kept == len(files)
    assert all(feature.store.missing(files) == [] for feature in features)


def test_only_the_missing_aspect_is_computed(squeezenet, files, tmp_path, monkeypatch):
    home = FeatureStoreRoot(tmp_path)
    features, looks = pooled_feature(squeezenet, None, home, Preprocessing(SIZE)), thumbnail_feature(home, "white")
    build_index(files, [features], Reader())
    monkeypatch.setattr(type(squeezenet), "features", lambda *_: pytest.fail("the network was run for thumbnails"))
    assert build_index(files, [features, looks], Reader()).computed == len(files)


def test_broken_pictures_are_left_out_and_tried_again(squeezenet, files, tmp_path):
    feature = pooled_feature(squeezenet, None, FeatureStoreRoot(tmp_path), Preprocessing(SIZE))
    paths = list(files.values())
    stats = build_index(files, [feature], Reader(broken=(paths[3], paths[9])))
    assert {files[key] for key in stats.failed} == {paths[3], paths[9]}
    assert stats.computed == len(files) - 2
    again = Reader()
    build_index(files, [feature], again)
    assert sorted(again.read) == sorted([paths[3], paths[9]])


def test_other_settings_have_other_stores(squeezenet, tmp_path):
    home = FeatureStoreRoot(tmp_path)
    random = cnnviz.load_network("squeezenet1_1", weights="random", device="cpu")
    other = cnnviz.load_network("squeezenet1_1", weights="random", device="cpu", seed=1)
    stores = {
        pooled_feature(squeezenet, None, home, Preprocessing(64)).store.folder,
        pooled_feature(squeezenet, None, home, Preprocessing(65)).store.folder,
        pooled_feature(squeezenet, None, home, Preprocessing(64, crop=True)).store.folder,
        pooled_feature(squeezenet, None, home, Preprocessing(64, background="black")).store.folder,
        pooled_feature(squeezenet, "fire5", home, Preprocessing(64)).store.folder,
        pooled_feature(squeezenet, None, home, Preprocessing(64), half=True).store.folder,
        pooled_feature(random, None, home, Preprocessing(64)).store.folder,
        pooled_feature(other, None, home, Preprocessing(64), seed=1).store.folder,
    }
    assert len(stores) == 8
    by_alias = pooled_feature(squeezenet, "fire9", home, Preprocessing(64)).store.folder
    assert by_alias == pooled_feature(squeezenet, None, home, Preprocessing(64)).store.folder


def test_batches_hold_pictures_of_one_size_and_few_wait():
    batches: Batches[int] = Batches(4)
    given, waiting, most = [], 0, 0
    for number in range(200):
        side = 10 + number % 37  # more sizes than may wait
        waiting += 1
        for items, pixels in batches.add(number, torch.zeros(1, 3, side, side)):
            assert len({10 + item % 37 for item in items}) == 1
            assert pixels.shape[0] == len(items) <= 4
            given += items
            waiting -= len(items)
        most = max(most, waiting)
    given += [item for items, _ in batches.rest() for item in items]
    assert sorted(given) == list(range(200))
    assert most < 16


def test_prefetch_keeps_order_and_bounds_what_waits():
    state = SimpleNamespace(started=0, used=0)

    def work(number: int) -> int:
        state.started += 1
        if number == 7:
            raise ValueError("seven")
        return number * number

    found = []
    for number, result in prefetch(work, range(50), workers=3, ahead=8):
        assert state.started <= state.used + 8
        state.used += 1
        try:
            found.append(result())
        except ValueError:
            found.append(-number)
    assert found == [n * n if n != 7 else -7 for n in range(50)]


def test_what_is_lost_with_a_damaged_file_is_computed_again(files, tmp_path):
    """One entry is seen to be damaged; that all are lost shows only when it is written again."""
    looks = thumbnail_feature(FeatureStoreRoot(tmp_path), "white")
    build_index(files, [looks], Reader())
    looks.store.close()
    with contextlib.closing(sqlite3.connect(looks.store.folder / "entries.sqlite")) as connection:
        connection.executescript(
            "UPDATE entries SET vector = NULL WHERE rowid = 1; ALTER TABLE entries ADD COLUMN other"
        )
    stats = build_index(files, [looks], Reader())
    assert looks.store.missing(files) == []
    assert (stats.computed, stats.kept, stats.failed) == (len(files), 0, {})
