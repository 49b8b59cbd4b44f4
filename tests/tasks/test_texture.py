"""The texture task without a command line."""

from __future__ import annotations

import pickle

import pytest

from cnnviz.pipeline.config import MonitorConfig, SampleConfig
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.step_monitor import StepMonitor
from cnnviz.synthesis.settings import EfrosLeungSettings, TextureSettings
from cnnviz.tasks.texture import EFROS_LEUNG, Texture

QUICK = TextureSettings(steps=2, scales=1)


@pytest.fixture
def sample(samples, squeezenet):
    return read_image(ImageSource(samples / "brick.png"), squeezenet, SampleConfig(sample_size=40))


@pytest.fixture
def monitor() -> StepMonitor:
    return StepMonitor(MonitorConfig())


def test_a_texture_has_the_size_asked_for_or_its_samples(sample, monitor, squeezenet):
    task = Texture(settings=QUICK, size=(48, 56))
    assert pickle.loads(pickle.dumps(task)) == task
    result = task.run(squeezenet, sample, monitor)
    assert result.image.size == (56, 48) == (result.metadata["width"], result.metadata["height"])
    assert result.metadata["losses"] and result.recipe == {"precision": squeezenet.precision}
    height, width = sample.pixels.shape[2:]
    assert Texture(settings=QUICK).run(squeezenet, sample, monitor).image.size == (width, height)


def test_a_strip_has_a_texture_for_each_layer(sample, monitor, squeezenet):
    settings = TextureSettings(steps=1, scales=1, layers=("fire2", "fire4"), layer_weights=(2.0, 1.0))
    result = Texture(settings=settings, strip=True).run(squeezenet, sample, monitor)
    assert result.metadata["layers"] == ["fire2", "fire4"]
    assert monitor.done == ["up to fire2", "up to fire4"]
    assert result.image.width > 3 * sample.pixels.shape[3]


def test_efros_leung_makes_colors_that_the_sample_has(sample, monitor, squeezenet):
    task = Texture(method=EFROS_LEUNG, efros_leung=EfrosLeungSettings(window=5), size=(24, 24))
    image = task.run(squeezenet, sample, monitor).image
    known = {tuple(color) for color in (sample.pixels[0].flatten(1).T * 255).round().int().tolist()}
    assert {color for _, color in image.getcolors(24 * 24)} <= known
