"""Feature visualization as a task, without the command line."""

from __future__ import annotations

import pytest
from PIL import Image

from cnnviz.errors import UsageError
from cnnviz.pipeline.config import MonitorConfig
from cnnviz.pipeline.step_monitor import StepMonitor
from cnnviz.tasks.visualize import Visualize


def made(network, **settings):
    return Visualize(**settings).run(network, StepMonitor(MonitorConfig()))


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"targets": ("flamingo", "7")}, "flamingo+7"),
        ({"layer": "fire5"}, "fire5"),
        ({"layer": "fire5", "channels": ("0-3", "7")}, "fire5-0-3,7"),
    ],
)
def test_outputs_are_named_after_what_is_shown(settings, name):
    assert Visualize(**settings).name == name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "Name what to show"),
        ({"targets": ("1",), "layer": "fire5"}, "not both"),
        ({"targets": ("1",), "at": "center"}, "of a layer, which is missing"),
        ({"layer": "fire5", "facets": 2}, "one channel"),
        ({"targets": ("1",), "photos": "."}, "facets of a class start"),
        ({"targets": ("1",), "photos": "nowhere", "facets": 2}, "no folder 'nowhere'"),
        ({"targets": ("1",), "generator": "file.pt", "method": "simonyan"}, "recipe of its own"),
        ({"layer": "fire5", "at": "6"}, "row and a column"),
    ],
)
def test_contradictions_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        Visualize(**settings).validate()


@pytest.mark.parametrize("text", ["99999,99999,99999", "1_0", "0", "", "4096,", "-1"])
def test_shapes_of_a_code_that_make_no_sense(text):
    with pytest.raises(UsageError, match="latent code's shape"):
        Visualize(targets=("1",), latent=text).validate()


def test_positions_and_shapes_are_read():
    task = Visualize(layer="fire5", at="6,9", latent="128,1,1")
    assert (task.parse_position(), task.parse_latent_shape()) == ((6, 9), (128, 1, 1))
    assert Visualize(layer="fire5", at="center").parse_position() == "center"


def test_sheets_of_many_channels_take_fewer_steps(squeezenet):
    found = made(squeezenet, layer="fire2", channels=("0-16",), size=32, steps=1)
    assert [row["channel"] for row in found.metadata["pictures"]] == list(range(17))
    task = Visualize(layer="fire2")
    assert task.settings_for(17).steps < task.settings_for(16).steps == 256


def test_one_image_without_caption_is_the_image_alone(squeezenet):
    found = made(squeezenet, targets=("flamingo",), size=32, steps=1, raw=True)
    assert found.image.size == (32, 32)
    assert found.unused == {"diversity": "on one image"}
    assert found.metadata["pictures"][0]["index"] == 130


def test_photos_that_cannot_be_read_are_left_out_with_a_warning(squeezenet, samples, tmp_path):
    for name in ("chelsea.png", "coffee.png"):
        Image.open(samples / name).resize((96, 64)).save(tmp_path / name)
    (tmp_path / "bad.png").write_bytes(b"none")
    found = made(squeezenet, targets=("281",), facets=2, photos=tmp_path, size=32, steps=1)
    assert [row["index"] for row in found.metadata["pictures"]] == [281, 281]
    (warning,) = found.warnings
    assert "bad.png" in warning
    with pytest.raises(UsageError, match="3 facets need at least 3 photos"):
        made(squeezenet, targets=("281",), facets=3, photos=tmp_path, size=32, steps=1)
