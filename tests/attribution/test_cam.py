"""Grad-CAM against captum, its default layer, and where it points."""

from __future__ import annotations

import json

import pytest
import torch
from captum.attr import LayerGradCam

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.network.default_layers import last_spatial_layer
from cnnviz.network.loading import load_meta_network

NET = ("-m", "squeezenet1_1")


@pytest.mark.parametrize(("model", "layer"), [("squeezenet1_1", "features.12"), ("resnet18", "layer4")])
def test_grad_cam_is_captums(model, layer, chelsea):
    weights = None if model == "squeezenet1_1" else "random"
    network = cnnviz.load_network(model, weights=weights, device="cpu")
    reference = LayerGradCam(network.module, network.module.get_submodule(layer)).attribute(
        network.normalize(chelsea), target=285, relu_attributions=True
    )
    expected = torch.nn.functional.interpolate(reference, size=chelsea.shape[2:], mode="bilinear")
    found = cnnviz.grad_cam(network, chelsea, 285)
    assert found.shape == (1, 1, 224, 336)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        ("squeezenet1_1", "features.12.cat"),
        ("vgg16", "features.30"),
        ("resnet50", "layer4.2.relu_2"),
        ("googlenet", "inception5b.cat"),
        ("densenet121", "relu"),
        ("mobilenet_v2", "features.18.2"),
        ("lenet5", "features.pool2"),
    ],
)
def test_default_layer_is_the_last_map(model, layer):
    assert last_spatial_layer(load_meta_network(model)) == layer


def test_guided_grad_cam_is_the_product(squeezenet, chelsea):
    product = cnnviz.guided_backprop(squeezenet, chelsea, 285) * cnnviz.grad_cam(squeezenet, chelsea, 285)
    torch.testing.assert_close(cnnviz.guided_grad_cam(squeezenet, chelsea, 285), product)


@pytest.mark.parametrize(("photo", "box"), [("chelsea.png", (20, 5, 215, 270)), ("coffee.png", (10, 95, 165, 235))])
def test_pointing_game(squeezenet, samples, photo, box):
    """The same boxes of the cat's head and the cup as in test_occlusion."""
    found = cnnviz.grad_cam(squeezenet, cnnviz.read_image(samples / photo, size=224))[0, 0]
    row, column = divmod(int(found.argmax()), found.shape[1])
    assert box[0] <= row < box[2]
    assert box[1] <= column < box[3]


def test_layers_that_are_no_maps(squeezenet, chelsea):
    with pytest.raises(UsageError, match="is no map"):
        cnnviz.grad_cam(squeezenet, chelsea, layer="flatten")
    with pytest.raises(UsageError, match="no layer called"):
        cnnviz.grad_cam(squeezenet, chelsea, layer="fire99")


def test_commands(run_cnnviz, samples):
    record = json.loads(run_cnnviz("gradcam", samples / "coffee.png", *NET, "--json", "--guided").stdout)
    assert (record["output"], record["layer"]) == ("coffee.gradcam.png", "features.12.cat")
    for method in ("smoothgrad", "integrated", "input-x-gradient"):
        options = ("--method", method, "--samples", 2, "--steps", 4, "--size", 64, "-o", f"{method}.png", "--json")
        record = json.loads(run_cnnviz("saliency", samples / "coffee.png", *NET, *options).stdout)
        assert ("completeness_error" in record) == (method == "integrated")
