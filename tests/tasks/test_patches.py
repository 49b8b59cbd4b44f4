"""The task of ``patches`` without a command line: the strongest channels, their patches and what excites them."""

from __future__ import annotations

import pickle

import pytest
from PIL import Image

from cnnviz.errors import UsageError
from cnnviz.pipeline.collection_job import ImageCollection
from cnnviz.pipeline.config import InputConfig, StoreConfig
from cnnviz.pipeline.recipe import Provenance
from cnnviz.pipeline.reporter import SilentReporter
from cnnviz.tasks.patches import Patches


@pytest.fixture
def images(samples, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("chelsea", "coffee"):
        Image.open(samples / f"{name}.png").resize((80, 64)).save(folder / f"{name}.png")
    return ImageCollection.of(InputConfig([str(folder)], size=64), SilentReporter(), Provenance("patches"))


def test_named_channels_have_a_row_each(squeezenet, images, tmp_path):
    store = StoreConfig(tmp_path / "store")
    found = Patches(layer="fire5", channel=("3", "17,5"), top=1, store=store).run(squeezenet, images)
    assert [row["channel"] for row in found.metadata["channels"]] == [3, 17, 5]
    assert all(len(row["patches"]) == 1 for row in found.metadata["channels"])
    guided = Patches(layer="fire5", channel=("3", "17,5"), top=1, guided=True, store=store).run(squeezenet, images)
    assert guided.image.height > found.image.height and guided.image.width == found.image.width


def test_without_channels_six_are_shown(squeezenet, images, tmp_path):
    found = Patches(top=2, store=StoreConfig(tmp_path / "store")).run(squeezenet, images)
    assert len(found.metadata["channels"]) == 6
    assert found.target == found.metadata["layer"]


@pytest.mark.parametrize("wrong", [{"channel": ("512",)}, {"channel": ("x",)}, {"layer": "flatten"}])
def test_what_is_no_channel_or_no_map_is_refused(squeezenet, images, wrong):
    with pytest.raises(UsageError):
        Patches(**{"layer": "fire5", **wrong}).run(squeezenet, images)


def test_it_travels():
    assert pickle.loads(pickle.dumps(Patches(channel=("3",)))) == Patches(channel=("3",))
