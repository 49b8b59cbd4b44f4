"""Cropping of images as torchvision evaluates the same weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import cnnviz
from cnnviz.imaging.pixels import Crop, to_pixels
from cnnviz.network import architecture, catalogue, catalogue_input, loading

models = pytest.importorskip("torchvision.models")

SIZES = [(333, 201), (201, 333), (97, 61), (640, 641), (1201, 37)]
"""Landscape, portrait, smaller than any crop, larger than any, and a strip; most of them odd."""


def published() -> list[catalogue.PublishedWeights]:
    return [weights for entry in catalogue.entries().values() for weights in entry.weights]


def preset(weights: catalogue.PublishedWeights):
    """torchvision's own preprocessing for these weights: photo -> the module's input (3, H, W)."""
    return models.get_model_weights(weights.model)[weights.name].transforms()


def seen(weights: catalogue.PublishedWeights, photo: Image.Image) -> torch.Tensor:
    """What cnnviz shows the module, (3, H, W)."""
    spec = catalogue_input.input_spec_of(weights)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    return ((to_pixels(photo, crop=spec.crop) - mean) / std)[0]


@pytest.mark.slow
def test_every_published_weight_has_torchvisions_protocol():
    """One photo for each of the weights, and all sizes for one of each protocol."""
    random, met = np.random.default_rng(0), set()
    photos = [Image.fromarray(random.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in SIZES]
    for weights in published():
        protocol = catalogue_input.input_spec_of(weights).crop, weights.mean
        for photo in photos[:1] if protocol in met else photos:
            assert torch.equal(seen(weights, photo), preset(weights)(photo)), (weights.model, weights.name, photo.size)
        met.add(protocol)
    assert len(published()) > 90
    assert {crop.interpolation for crop, _ in met} == {"bilinear", "bicubic"}


def test_default_is_torchvisions():
    """Which is not always the second of two: VGG-16's second weights have no classifier."""
    for name, entry in catalogue.entries().items():
        assert entry.published("default").name == models.get_model_weights(name).DEFAULT.name


@pytest.mark.parametrize(("name", "label"), [("mobilenet_v2", "IMAGENET1K_V2"), ("efficientnet_b1", "DEFAULT")])
def test_the_command_looks_with_the_weights_that_were_named(name, label, run_cnnviz, tmp_path, monkeypatch, samples):
    """The weights that are not the network's first: their margins, their resizing."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    weights = catalogue.entry(name).published(label)
    weights.path.parent.mkdir(parents=True)
    module = architecture.build_random(name, 1000, seed=3).eval()
    photo = preset(weights)(Image.open(samples / "coffee.png").convert("RGB"))[None]
    with torch.no_grad():
        module.classifier[1].weight.mul_(5 / module(photo).std())
        expected = module(photo).softmax(1)[0].topk(5)
    torch.save(module.state_dict(), weights.path)
    options = ("-m", name, "-w", label, "--precision", "fp32", "--json", "--top", 5)
    run = run_cnnviz("classify", samples / "coffee.png", *options, "--crop")
    found = json.loads(run.stdout)["predictions"]
    assert [one["index"] for one in found] == expected.indices.tolist()
    assert [one["probability"] for one in found] == pytest.approx(expected.values.tolist(), rel=1e-3)
    whole = json.loads(run_cnnviz("classify", samples / "coffee.png", *options).stdout)["predictions"]
    assert [one["probability"] for one in whole] != pytest.approx(expected.values.tolist(), rel=1e-3)


def test_a_file_of_weights_is_looked_at_as_the_networks_first(tmp_path):
    torch.save(architecture.build_random("convnext_tiny", 3, seed=0).state_dict(), tmp_path / "my.pth")
    spec = cnnviz.load_network("convnext_tiny", weights=tmp_path / "my.pth", device="cpu").spec
    assert (spec.size, spec.resize, spec.interpolation) == (224, 236, "bilinear")
    assert loading.load_meta_network("efficientnet_b2").spec.crop == Crop(288, 288, "bicubic")


def test_layers_are_listed_at_the_size_of_the_weights_named(run_cnnviz):
    """Shapes need no weights, which are not here."""
    for weights, side in ((None, 112), ("IMAGENET1K_SWAG_E2E_V1", 192), ("default", 112)):
        options = ("-w", weights) if weights else ()
        run = run_cnnviz("layers", "-m", "regnet_y_16gf", *options, "--json")
        assert json.loads(run.stdout.splitlines()[0])["shape"] == [32, side, side]
