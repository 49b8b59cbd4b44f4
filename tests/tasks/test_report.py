"""The task of ``report`` without a command line: a page, its metadata, and what it has to say."""

from __future__ import annotations

import pickle

import pytest
from PIL import Image

from cnnviz.errors import ImageError, UsageError
from cnnviz.pipeline.collection_job import ImageCollection
from cnnviz.pipeline.config import InputConfig
from cnnviz.pipeline.recipe import Provenance
from cnnviz.pipeline.reporter import RecordingReporter
from cnnviz.tasks.report import Report


def collection(folder) -> ImageCollection:
    return ImageCollection.of(InputConfig([str(folder)], size=64), RecordingReporter(), Provenance("report"))


@pytest.fixture
def photos(samples, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.open(samples / "chelsea.png").resize((80, 64)).save(folder / "cat.png")
    Image.new("RGB", (64, 64)).save(folder / "black.png")
    return folder


def test_a_page_of_two_images(squeezenet, photos):
    task = Report(methods="input-x-gradient", layers=("fire2,fire5", "fire9"), channels=2, top=1, title="Mine")
    result = task.run(squeezenet, collection(photos))
    assert [image["name"] for image in result.metadata["pictures"]] == ["black.png", "cat.png"]
    assert result.metadata["pictures"][1]["layers"] == ["fire2", "fire5", "fire9"]
    (warning,) = result.warnings
    assert "black.png: the map of input" in warning and "zero everywhere" in warning
    html = b"".join(result.image).decode()
    assert "<title>Mine</title>" in html and html.count("<article") == 2
    assert "<span>cnnviz</span> <span>report</span>" in html


def test_nothing_to_read(squeezenet, tmp_path):
    (tmp_path / "cat.png").write_text("no image")
    images = collection(tmp_path)
    with pytest.raises(ImageError, match="No image could be read"):
        Report(methods="saliency").run(squeezenet, images)
    assert images.failures == [1]


def test_settings_are_read_from_lists():
    assert Report().settings.layers is None
    assert list(Report(methods="gradcam, saliency").settings.methods) == ["gradcam", "saliency"]
    with pytest.raises(UsageError, match="no method 'camera'"):
        _ = Report(methods="camera").settings
    assert pickle.loads(pickle.dumps(Report(top=2))) == Report(top=2)


@pytest.fixture
def album(samples, tmp_path):
    """Three photos of a cat and a cup; the cup lies among the cats once, and with full certainty."""
    for place in ("Egyptian cat/cat", "tabby/cat", "tabby/cup"):
        path = tmp_path / "album" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        name = "chelsea" if path.stem == "cat" else "coffee"
        Image.open(samples / f"{name}.png").convert("RGB").resize((192, 128)).save(path)
    return tmp_path / "album"


def in_folders(folder) -> ImageCollection:
    config = InputConfig([str(folder)], size=128, recursive=True)
    return ImageCollection.of(config, RecordingReporter(), Provenance("report"))


def test_the_most_certain_mistakes(squeezenet, album):
    task = Report(methods="saliency", layers=("fire2",), channels=1, top=1, errors=1)
    result = task.run(squeezenet, in_folders(album))
    (shown,) = result.metadata["pictures"]
    assert (shown["name"], shown["true"]["label"], shown["predictions"][0]["label"]) == ("cup.png", "tabby", "espresso")
    assert result.metadata["evaluation"] == {"pictures": 3, "correct": 1, "accuracy": 0.333333, "mistakes": 2}
    html = b"".join(result.image).decode()
    assert "<b>33.3 %</b> of 3 images right" in html and "<b>2</b> mistakes" in html
    assert "It truly is <strong>tabby</strong>" in html and html.count("<article") == 1
    assert "and for the true one</h3>" in html and "<p>The true class.</p>" in html


def test_true_classes_of_all_images(squeezenet, album):
    task = Report(methods="saliency", layers=("fire2",), channels=1, top=2, classes="folder")
    result = task.run(squeezenet, in_folders(album))
    assert [image["true"]["label"] for image in result.metadata["pictures"]] == ["Egyptian cat", "tabby", "tabby"]
    html = b"".join(result.image).decode()
    assert html.count("That is right.") == 1 and html.count("It truly is <strong>") == 2
    assert "<small>espresso, not tabby</small>" in html and "evaluation" not in result.metadata


def test_no_mistakes(squeezenet, album):
    (album / "tabby").rename(album.parent / "elsewhere")
    result = Report(methods="saliency", errors=3).run(squeezenet, in_folders(album))
    assert result.metadata["pictures"] == [] and result.metadata["evaluation"]["accuracy"] == 1.0
    assert "there are no mistakes to show" in b"".join(result.image).decode()


def test_mistakes_of_folders_that_are_no_classes(squeezenet, photos):
    with pytest.raises(UsageError, match="'photos' names no class"):
        Report(methods="saliency", errors=3).run(squeezenet, in_folders(photos))
