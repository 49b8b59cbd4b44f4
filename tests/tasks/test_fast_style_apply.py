"""Painting in one pass, without the command line."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from PIL import Image

import cnnviz
from cnnviz.errors import ModelError, UsageError
from cnnviz.imaging.pixels import to_pil_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.result import LoadedImage
from cnnviz.pipeline.style_model import StyleModelConfig
from cnnviz.style.fast import FastStyleNetwork
from cnnviz.style.model_file import to_bytes
from cnnviz.style.settings import FastStyleConfig
from cnnviz.tasks.fast_style_apply import FastStyleApply, parse_styles


@pytest.fixture
def model(tmp_path: Path) -> StyleModelConfig:
    torch.manual_seed(2)
    file = tmp_path / "small.safetensors"
    file.write_bytes(to_bytes(FastStyleNetwork(["plain", "wild"], FastStyleConfig((4, 6, 8), blocks=1))))
    return StyleModelConfig(str(file), "cpu")


def test_an_image_is_painted_as_the_library_paints_it(model: StyleModelConfig):
    name, remark = model.choose("style")
    network = model.load(name, 0, workload="exact", progress=False)
    pixels = torch.rand(1, 3, 40, 36, generator=torch.Generator().manual_seed(1))
    photo = Image.new("RGB", (36, 40))
    image = LoadedImage(ImageSource(None), photo, photo, pixels, 36, False)
    result = pickle.loads(pickle.dumps(FastStyleApply("wild:3,plain:1")))(network, image)
    assert (name, remark, network.classes) == ("small", None, 2)
    assert result.metadata == {"style": {"wild": 0.75, "plain": 0.25}, "size": [36, 40]}
    expected = cnnviz.apply_fast_style(network.network, pixels, {"wild": 3, "plain": 1})
    assert isinstance(result.image, Image.Image)
    assert result.image == to_pil_image(expected, clamp=True)


def test_the_styles_meant_are_those_of_the_model():
    assert FastStyleApply().weights_of(["plain", "wild"]) == {"plain": 1.0}
    assert FastStyleApply("wild").weights_of(["plain", "wild"]) == {"wild": 1.0}
    for wrong in ("monet", "plain:0"):
        with pytest.raises(UsageError):
            FastStyleApply(wrong).weights_of(["plain", "wild"])


def test_styles_and_their_weights_are_read():
    assert parse_styles("mosaic") == {"mosaic": 1.0}
    assert parse_styles("starry:0.7, ink:.3") == {"starry": 0.7, "ink": 0.3}
    for wrong in ("", "a,,b", "a:1,a:2", "a:-1", "a:nan", ":1"):
        with pytest.raises(UsageError):
            parse_styles(wrong)


def test_a_missing_model_is_an_error(tmp_path: Path):
    with pytest.raises(ModelError):
        StyleModelConfig(str(tmp_path / "gone.safetensors")).choose("style")
