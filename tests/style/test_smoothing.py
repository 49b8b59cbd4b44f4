"""Smoothed activations, rescaled pooling and falling weights: the mathematics, and that networks run with them."""

from __future__ import annotations

import pytest
import torch

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.network.variants import with_average_pooling
from cnnviz.style import StyleSettings, StyleTransfer, transfer_style
from cnnviz.style.smoothing import softmax, with_softmax


@pytest.fixture(scope="module")
def resnet():
    return cnnviz.load_network("resnet18", weights="random", device="cpu")


@pytest.fixture(scope="module")
def photo():
    return torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_the_softmax_is_over_all_activations_of_a_layer():
    features = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    expected = features.exp() / features.exp().sum((1, 2, 3), keepdim=True)
    assert torch.allclose(softmax(features), 60 * expected)
    assert torch.allclose(softmax(features + 7), softmax(features))
    assert torch.isfinite(softmax(1e4 * features)).all()


def test_a_smoothed_network_differs_in_its_features_alone(resnet, photo):
    smooth = with_softmax(resnet)
    assert torch.equal(smooth(photo), resnet(photo))
    plain, found = (net.features(photo, ["layer1"])["layer1"] for net in (resnet, smooth))
    assert torch.allclose(found, softmax(plain))
    assert all(a is b for a, b in zip(smooth.module.parameters(), resnet.module.parameters(), strict=True))


@pytest.mark.parametrize("smoothing", ["softmax", "scaled"])
def test_residual_networks_paint_with_smoothed_features(resnet, photo, smoothing):
    seen = []
    style = torch.rand(1, 3, 48, 80, generator=torch.Generator().manual_seed(1)) ** 2
    settings = {"smoothing": smoothing, "steps": 12, "scales": 1, "palette_weight": 0.0}
    made = transfer_style(resnet, photo, style, on_step=lambda s: seen.append(s.terms["loss"]), **settings)
    assert torch.isfinite(made).all()
    assert min(seen[1:]) < 0.9 * seen[0]


def test_scaled_features_count_by_the_fourth_power(resnet, photo):
    found = StyleTransfer(resnet, photo, [photo], settings=StyleSettings(smoothing="scaled"))
    assert found.layer_weights == pytest.approx({"relu": 1, "layer1": 1, "layer2": 1, "layer3": 1e-12})


def test_falling_weights_are_each_a_quarter_and_one_on_average(photo):
    vgg = cnnviz.load_network("vgg11", weights="random", device="cpu")
    found = StyleTransfer(vgg, photo, [photo], settings=StyleSettings(layer_weights="falling"))
    assert list(found.layer_weights.values()) == pytest.approx([w * 5 / 341 for w in (256, 64, 16, 4, 1)])


def test_rescaled_averages_are_as_large_as_maxima(resnet):
    """Of features like those after a ReLU, exponentially distributed, within a tenth; plain averages are far below."""

    class Pools(torch.nn.Module):
        def __init__(self, side):
            super().__init__()
            self.pool, self.head = torch.nn.MaxPool2d(side, 2), torch.nn.Linear(3, 2)

        def forward(self, x):
            return self.head(self.pool(x).mean((2, 3)))

    features = torch.empty(1, 3, 200, 200).exponential_(generator=torch.Generator().manual_seed(2))
    for side, factor in ((2, 2.0), (3, 3.0)):
        network = cnnviz.Network(Pools(side), labels=("a", "b"))
        maxima, plain, rescaled = (
            net.module.pool(features)
            for net in (network, with_average_pooling(network), with_average_pooling(network, rescaled=True))
        )
        assert torch.allclose(rescaled, factor * plain, atol=1e-5)
        assert float(rescaled.mean() / maxima.mean()) == pytest.approx(1, abs=0.1)
        assert float(plain.mean() / maxima.mean()) < 0.6


def test_an_average_and_carried_moments_paint(squeezenet, photo):
    common = {"optimizer": "adam", "steps": 12, "scales": 2, "polish": 0.0}
    made = [
        transfer_style(squeezenet, photo, photo.flip(3), **common, **more)
        for more in ({}, {"average": 0.9}, {"carry": False})
    ]
    assert all((made[0] - other).abs().max() > 1e-3 for other in made[1:])


def test_settings_that_make_no_sense_are_refused():
    for wrong in ({"smoothing": "blur"}, {"average": 1.0}, {"layer_weights": "rising"}):
        with pytest.raises(UsageError):
            StyleSettings(**wrong)
    with pytest.raises(UsageError, match="tile"):
        StyleSettings(smoothing="softmax", tile=256)
