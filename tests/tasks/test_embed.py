"""The task of ``embed`` without a command line: the map, its page, its coordinates, and what colors mean."""

from __future__ import annotations

import csv
import pickle

import pytest
from PIL import Image

from cnnviz.pipeline.collection_job import ImageCollection
from cnnviz.pipeline.config import InputConfig, StoreConfig
from cnnviz.pipeline.recipe import Provenance
from cnnviz.pipeline.reporter import SilentReporter
from cnnviz.tasks.embed import Embed


@pytest.fixture
def images(samples, tmp_path):
    for name in ("chelsea", "coffee"):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        photo = Image.open(samples / f"{name}.png").convert("RGB").resize((80, 64))
        photo.save(folder / "whole.png")
        photo.crop((4, 4, 76, 60)).save(folder / "cropped.png")
    config = InputConfig([str(tmp_path / "photos")], recursive=True, size=64)
    return ImageCollection.of(config, SilentReporter(), Provenance("embed"))


@pytest.mark.parametrize(
    ("classes", "expected"),
    [("auto", {"chelsea", "coffee"}), ("folder", {"chelsea", "coffee"}), ("none", {""}), ("predicted", None)],
)
def test_classes(squeezenet, images, tmp_path, classes, expected):
    task = Embed(method="pca", classes=classes, store=StoreConfig(tmp_path / "store"))
    found = task.run(squeezenet, images)
    rows = list(csv.DictReader(found.sidecars[".csv"].decode().splitlines()))
    assert len(rows) == found.metadata["pictures"] == 4
    assert {row["class"] for row in rows} == (expected or {row["predicted"] for row in rows})
    assert (found.metadata["agreement"] is None) == (classes == "none")
    assert found.sidecars[".html"].startswith(b"<!doctype html>")


def test_a_second_map_computes_nothing(squeezenet, images, tmp_path):
    task = Embed(method="pca", layout="grid", store=StoreConfig(tmp_path / "store"))
    first, second = (task.run(squeezenet, images) for _ in range(2))
    assert (first.metadata["computed"], second.metadata["computed"]) == (4, 0)
    assert first.image.tobytes() == second.image.tobytes() and first.sidecars == second.sidecars


def test_sidecars_and_travel():
    assert Embed().sidecars == (".html", ".csv") and Embed(parquet=True).sidecars == (".html", ".parquet")
    assert pickle.loads(pickle.dumps(Embed(perplexity=5.0))) == Embed(perplexity=5.0)
