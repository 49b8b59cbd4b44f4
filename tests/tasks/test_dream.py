"""Dreams as a task, without the command line."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

from cnnviz.errors import ImageError, UsageError
from cnnviz.network.network import Network
from cnnviz.pipeline.config import CanvasConfig, MonitorConfig
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.result import LoadedImage
from cnnviz.pipeline.step_monitor import StepMonitor
from cnnviz.synthesis.deepdream import DreamTarget
from cnnviz.synthesis.settings import DreamSettings
from cnnviz.tasks.dream import Dream

SHORT = DreamSettings(octaves=1, steps=1)


def made(task, network, samples):
    image = read_image(ImageSource(samples / "rocket.jpg"), network, CanvasConfig(size=48))
    return task.run(network, image, StepMonitor(MonitorConfig()))


def test_targets_are_the_channels_of_each_layer(squeezenet):
    assert Dream().targets(squeezenet) == [DreamTarget("fire7")]
    found = Dream(layers=("fire2,fire5",), channels=("3", "7")).targets(squeezenet)
    assert found == [DreamTarget(layer, channel) for layer in ("fire2", "fire5") for channel in (3, 7)]


def test_a_guide_is_read_before_the_task_travels(squeezenet, samples, tmp_path):
    guide = tmp_path / "guide.png"
    guide.write_bytes((samples / "chelsea.png").read_bytes())
    task = pickle.loads(pickle.dumps(Dream(guide=guide, settings=SHORT).with_files()))
    guide.unlink()
    guided = made(task, squeezenet, samples)
    assert guided.image.tobytes() != made(Dream(settings=SHORT), squeezenet, samples).image.tobytes()
    with pytest.raises(ImageError, match="guide"):
        Dream(guide=guide).with_files()


def test_a_zoom_gives_frames_and_a_photo_its_gain(squeezenet, samples):
    zoomed = made(Dream(settings=SHORT, zoom=2), squeezenet, samples)
    assert len(zoomed.image) == zoomed.metadata["frames"] == 2
    assert Dream(zoom=2).suffix == ".gif"
    photo = made(Dream(settings=SHORT), squeezenet, samples)
    assert photo.metadata["activation_gain"] > 1 and photo.is_measured
    tiled = made(Dream(settings=DreamSettings(octaves=1, steps=1, tile=32)), squeezenet, samples)
    assert "activation_gain" not in tiled.metadata


def test_average_pooling_is_unused_without_max_pooling():
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    network = Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), head), labels=("a", "b"))
    task = Dream(layers=("1",), settings=SHORT, average_pooling=True)
    result = task.run(
        network, LoadedImage(None, None, None, torch.rand(1, 3, 40, 40), 40, False), StepMonitor(MonitorConfig())
    )
    assert "average_pooling" in result.unused


def test_an_octave_scale_of_one_is_refused():
    with pytest.raises(UsageError, match="above 1, not 1"):
        DreamSettings(octave_scale=1.0)
