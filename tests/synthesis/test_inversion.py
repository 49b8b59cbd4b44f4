"""Inversions: what they minimize, and how near they come on a real photo."""

from __future__ import annotations

import pytest
import torch

from cnnviz.errors import UsageError
from cnnviz.imaging.image_metrics import psnr
from cnnviz.imaging.pixels import to_pil_image, to_pixels
from cnnviz.network.default_layers import inversion_layers
from cnnviz.synthesis.inversion import feature_error, invert


def test_the_error_is_relative_to_the_photos_features(squeezenet, chelsea):
    gray = torch.full_like(chelsea, 0.5)
    found = feature_error(squeezenet, gray, chelsea, ["fire2", "fire9"])
    for layer, value in found.items():
        one, other = (squeezenet.features(x, [layer])[layer] for x in (gray, chelsea))
        assert value == pytest.approx(float((one - other).square().sum() / other.square().sum()), rel=1e-4)


def test_nothing_but_the_features_is_used(squeezenet, chelsea):
    """Two photos with the same features at the layer give the same image."""
    seen = []
    first = invert(squeezenet, chelsea[..., :96, :96], "fire2", steps=6, on_step=seen.append)
    again = invert(squeezenet, chelsea[..., :96, :96].clone(), "fire2", steps=6)
    assert torch.equal(first, again)
    assert [step.step for step in seen] == list(range(1, 7))
    assert {"loss", "error", "variation"} == set(seen[0].terms)


@pytest.mark.parametrize("settings", [{"optimizer": "adam"}, {"prior": "pixels"}, {"tv_beta": 1.0}])
def test_every_recipe_comes_nearer(squeezenet, chelsea, settings):
    errors = []
    crop = chelsea[..., 60:156, 60:156]
    invert(squeezenet, crop, "fire3", steps=40, on_step=lambda s: errors.append(s.terms["error"]), **settings)
    assert min(errors) < 0.7 * errors[0]


def test_a_fully_connected_or_averaged_layer_can_be_inverted(squeezenet, chelsea):
    found = invert(squeezenet, chelsea[..., :96, :96], "classifier.3", steps=15)
    error = feature_error(squeezenet, found, chelsea[..., :96, :96], ["classifier.3"])
    assert error["classifier.3"] < 0.9


@pytest.mark.parametrize("settings", [{"optimizer": "sgd"}, {"prior": "gan"}])
def test_unknown_recipes_are_refused(squeezenet, chelsea, settings):
    with pytest.raises(UsageError, match="there are"):
        invert(squeezenet, chelsea, "fire2", steps=1, **settings)


@pytest.mark.parametrize("name", ["squeezenet1_1", "vgg16", "resnet18", "googlenet", "alexnet", "densenet121"])
def test_every_family_has_a_strip(name):
    from cnnviz.network.loading import load_meta_network

    network = load_meta_network(name)
    layers = inversion_layers(network)
    order = [list(network.layers).index(network.layers.name_of(network.layers.node(layer))) for layer in layers]
    assert order == sorted(order)
    assert len(order) >= 4


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "error", "decibel"), [("fire2", 0.005, 22), ("fire4", 0.04, 18), ("fire9", 0.07, 8)])
def test_a_photo_comes_back_from_its_features(squeezenet, chelsea, layer, error, decibel):
    """The bounds are those of 400 passes; fewer do."""
    photo = invert(squeezenet, chelsea, layer, steps=150)
    written = to_pil_image(photo)
    assert feature_error(squeezenet, to_pixels(written), chelsea, [layer])[layer] <= error
    assert psnr(written, to_pil_image(chelsea)) >= decibel
