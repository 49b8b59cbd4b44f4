"""The sheet of ``compare``: a row for each network, a map for each method."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch

from cnnviz.attribution.registry import METHODS
from cnnviz.errors import UsageError
from cnnviz.network.loading import load_network
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec
from cnnviz.pipeline.comparison_job import NetworkView
from cnnviz.pipeline.config import InputConfig
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.tasks.compare import Compare


@pytest.fixture(scope="module")
def image(squeezenet, samples):
    return read_image(ImageSource(samples / "chelsea.png"), squeezenet, InputConfig(size=64))


def test_a_row_for_each_network(squeezenet, image):
    other = load_network("squeezenet1_0", weights="random")
    task = pickle.loads(pickle.dumps(Compare(methods="saliency,gradcam")))
    one, two = (
        task.compare([NetworkView(network, image) for network in networks])
        for networks in ([squeezenet], [squeezenet, other])
    )
    assert [row["model"] for row in two.metadata["networks"]] == ["squeezenet1_1", "squeezenet1_0"]
    assert two.image.size == (one.image.width, 2 * one.image.height)
    assert (one.recipe, one.warnings) == ({}, [])


def test_the_class_that_is_named_is_explained_by_all_and_in_the_recipe(squeezenet, image):
    result = Compare(target="lynx", methods="saliency").compare([NetworkView(squeezenet, image)] * 2)
    assert [row["target"]["label"] for row in result.metadata["networks"]] == ["lynx", "lynx"]
    assert result.recipe["target"]["label"] == result.target == "lynx"


def test_a_map_that_shows_nothing_is_told_of(squeezenet, image, monkeypatch):
    def nothing(network, pixels, target=None):
        return torch.zeros_like(pixels[:, :1])

    monkeypatch.setattr("cnnviz.attribution.gradients.saliency", nothing)
    result = Compare(methods="saliency,gradcam").compare([NetworkView(squeezenet, image)])
    assert result.metadata["networks"][0]["blank"] == {"saliency": "zero everywhere"}
    (warning,) = result.warnings
    assert "chelsea.png: the map of saliency for" in warning


def test_of_a_network_without_relu_the_default_methods_leave_guided_out(image):
    from torchvision.models import VisionTransformer

    torch.manual_seed(0)
    module = VisionTransformer(64, 16, 2, 2, 12, 24, num_classes=5)
    torch.nn.init.normal_(module.heads.head.weight)
    network = Network(module, name="my_vit", spec=InputSpec(size=64))
    square = replace(image, pixels=image.pixels[..., :64], photo=image.photo.crop((0, 0, 64, 64)))
    found = Compare().compare([NetworkView(network, square)])
    (warning,) = [each for each in found.warnings if "guided" in each]
    assert warning.startswith("Left out guided: my_vit is a transformer")
    with pytest.raises(UsageError, match="my_vit is a transformer"):
        Compare(methods="saliency,guided").compare([NetworkView(network, square)])


def test_methods_are_those_of_the_registry():
    assert [method.name for method in Compare(methods=",".join(METHODS)).chosen] == list(METHODS)
    with pytest.raises(UsageError, match=r"There is no method 'gardcam' \(did you mean gradcam"):
        Compare(methods="saliency,gardcam")
