"""The task of ``embed`` without a command line: the map, its page, its coordinates, and what colors mean."""

from __future__ import annotations

import csv
import pickle

import pytest
from PIL import Image

from cnnviz.errors import UsageError
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


@pytest.fixture
def classed(samples, tmp_path):
    """Photos in folders named as their classes, one of them in the wrong one."""
    for place in ("n02124075/cat", "n02124075/cup", "espresso/cup"):
        path = tmp_path / "photos" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo = Image.open(samples / f"{'chelsea' if path.stem == 'cat' else 'coffee'}.png").convert("RGB")
        photo.resize((192, 128)).save(path)
    config = InputConfig([str(tmp_path / "photos")], recursive=True, size=128)
    return ImageCollection.of(config, SilentReporter(), Provenance("embed"))


def rows_of(found):
    return list(csv.DictReader(found.sidecars[".csv"].decode().splitlines()))


def test_folders_that_are_classes_of_the_network_mark_mistakes(squeezenet, classed, tmp_path):
    found = Embed(method="pca", store=StoreConfig(tmp_path / "store")).run(squeezenet, classed)
    assert [(row["class"], row["mistake"]) for row in rows_of(found)] == [
        ("espresso", "no"),
        ("Egyptian cat", "no"),
        ("Egyptian cat", "yes"),
    ]
    assert (found.metadata["mistakes"], found.metadata["accuracy"]) == (1, 0.666667)
    page = found.sidecars[".html"].decode()
    assert page.count('"mark": "#d55e00"') == 1  # the second color, of espresso


def test_a_table_of_classes(squeezenet, classed, tmp_path):
    table = tmp_path / "classes.csv"
    table.write_text("n02124075/cat,tabby\nn02124075/cup,espresso\n")
    task = Embed(method="pca", classes=str(table), store=StoreConfig(tmp_path / "store"))
    found = task.run(squeezenet, classed)
    assert [(row["class"], row["mistake"]) for row in rows_of(found)] == [
        ("not in the table", ""),
        ("tabby", "yes"),
        ("espresso", "no"),
    ]
    table.write_text("n02124075/cat,Mia\nn02124075/cup,dishes\n")
    found = task.run(squeezenet, classed)
    assert [row["class"] for row in rows_of(found)] == ["not in the table", "Mia", "dishes"]
    assert "mistake" not in rows_of(found)[0] and "accuracy" not in found.metadata


def test_numbers_are_classes_only_where_that_is_asked_for(squeezenet, classed, tmp_path):
    folder = tmp_path / "photos"
    (folder / "espresso").rename(folder / "967")
    (folder / "n02124075").rename(folder / "285")
    images = ImageCollection.of(classed.config, SilentReporter(), Provenance("embed"))
    store = StoreConfig(tmp_path / "store")
    plain, asked = (Embed(method="pca", classes=by, store=store).run(squeezenet, images) for by in ("auto", "folder"))
    assert {row["class"] for row in rows_of(plain)} == {"285", "967"} and "mistakes" not in plain.metadata
    assert {row["class"] for row in rows_of(asked)} == {"Egyptian cat", "espresso"} and asked.metadata["mistakes"] == 1


def test_no_such_classes(squeezenet, classed, tmp_path):
    with pytest.raises(UsageError, match=r"auto, folder, predicted, none, or a CSV file .* no file 'folders'"):
        Embed(classes="folders").run(squeezenet, classed)
