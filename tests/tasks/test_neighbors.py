"""The task of ``neighbors`` without a command line: a collection is prepared once, then searched for each image."""

from __future__ import annotations

import pickle

import pytest
from PIL import Image

from cnnviz.errors import ImageError
from cnnviz.pipeline.collection_job import ImageCollection
from cnnviz.pipeline.config import InputConfig, StoreConfig
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.recipe import Provenance
from cnnviz.pipeline.reporter import SilentReporter
from cnnviz.tasks.neighbors import Neighbors


@pytest.fixture
def folder(samples, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("chelsea", "coffee", "gravel"):
        photo = Image.open(samples / f"{name}.png").convert("RGB").resize((80, 64))
        photo.save(folder / f"{name}.png")
        photo.crop((4, 4, 76, 60)).save(folder / f"{name}_cropped.png")
    return folder


def images_of(*names) -> ImageCollection:
    provenance = Provenance("neighbors", {"k": 2})
    return ImageCollection.of(InputConfig([str(name) for name in names], size=64), SilentReporter(), provenance)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_the_nearest_image_is_the_crop_of_the_same_photo(squeezenet, folder, tmp_path, metric):
    task = Neighbors(k=2, metric=metric, store=StoreConfig(tmp_path / "store"))
    index = task.prepare(squeezenet, images_of(folder))
    for name in ("chelsea", "coffee"):
        image = read_image(ImageSource(folder / f"{name}.png"), squeezenet, InputConfig(size=64))
        found = index(squeezenet, image)
        assert found.metadata["features"][0]["file"].endswith(f"{name}_cropped.png")
        assert len(found.metadata["features"]) == len(found.metadata["pixels"]) == 2
        assert found.recipe == {"inputs": [str(folder / f"{name}.png"), str(folder)], "parameters": {"k": 2}}


def test_an_image_is_no_neighbor_of_itself(squeezenet, folder, tmp_path):
    alone = folder / "coffee.png"
    index = Neighbors(store=StoreConfig(tmp_path / "store")).prepare(squeezenet, images_of(alone))
    with pytest.raises(ImageError, match="no other image than"):
        index(squeezenet, read_image(ImageSource(alone), squeezenet, InputConfig(size=64)))


def test_it_travels():
    assert pickle.loads(pickle.dumps(Neighbors(k=3))) == Neighbors(k=3)
