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
    with pytest.raises(ImageError, match="None of the 1 images could be read"):
        Report(methods="saliency").run(squeezenet, images)
    assert images.failures == [1]


def test_settings_are_read_from_lists():
    assert Report().settings.layers is None
    assert list(Report(methods="gradcam, saliency").settings.methods) == ["gradcam", "saliency"]
    with pytest.raises(UsageError, match="no method 'cam'"):
        _ = Report(methods="cam").settings
    assert pickle.loads(pickle.dumps(Report(top=2))) == Report(top=2)
