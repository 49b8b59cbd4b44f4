"""Smoothed activations, rescaled pooling and falling weights: the mathematics, and that networks run with them."""

from __future__ import annotations

import pytest
import torch

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.network.network_transforms import with_average_pooling, with_weights_cast
from cnnviz.network.spec import InputSpec
from cnnviz.style.settings import StyleSettings
from cnnviz.style.smoothing import softmax, with_softmax
from cnnviz.style.transfer import StyleTransfer, transfer_style
from cnnviz.synthesis.feature_statistics import moments
from cnnviz.synthesis.texture_target import layer_moments


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
    assert all(a is b for a, b in zip(smooth.body.parameters(), resnet.body.parameters(), strict=True))


def test_the_statistics_of_a_smoothed_network_are_those_of_features_softmaxed_by_hand(resnet, photo):
    layers = ["relu", "layer1", "layer3"]
    found = layer_moments(with_softmax(resnet), photo, layers)
    for layer, features in resnet.features(photo, layers).items():
        exponentials = features.double().flatten(1).exp()
        smooth = (exponentials / exponentials.mean(1, keepdim=True)).view(features.shape)
        gram = torch.einsum("ncij,ndij->ncd", smooth, smooth) / smooth[0, 0].numel()
        torch.testing.assert_close(found[layer].mean.double(), smooth.mean((2, 3)), rtol=1e-4, atol=0)
        torch.testing.assert_close(found[layer].gram.double(), gram, rtol=1e-4, atol=0)
        assert ((gram - moments(features).gram).abs() > 0.1 * gram).any(), "the plain features have other ones"


class ByHand(torch.nn.Module):
    """Two layers, and beside each what a softmax over it is: no layer that follows sees that."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = (
            torch.nn.Conv2d(3, 6, 3, 2, 1),
            torch.nn.Conv2d(6, 8, 3, 2, 1),
            torch.nn.Linear(8, 2),
        )

    def forward(self, x):
        a = torch.relu(self.a(x))
        a_smooth = a.exp() / a.exp().mean((1, 2, 3), keepdim=True)  # noqa: F841
        b = torch.relu(self.b(a))
        b_smooth = b.exp() / b.exp().mean((1, 2, 3), keepdim=True)  # noqa: F841
        return self.head(b.mean((2, 3)))


@pytest.mark.parametrize("content_target", ["restyled", "photo"])
def test_paintings_are_those_of_a_network_that_has_the_softmax_as_layers(photo, content_target):
    """At every step: content, style, and what is put together from tiles all see the same features."""
    torch.manual_seed(3)
    network = cnnviz.Network(ByHand(), labels=("a", "b"), spec=InputSpec(size=64))
    plain, smooth = ["relu", "relu_1"], ["truediv", "truediv_1"]
    common = {"steps": 4, "scales": 1, "palette_weight": 0.0, "lightness_weight": 0.0, "content_target": content_target}
    common |= {"optimizer": "adam", "adam_fraction": 0.0}
    made = [
        transfer_style(network, photo, photo.flip(3).square(), style_layers=style, content_layers=content, **each)
        for (style, content), each in (
            ((plain, plain[1:]), common | {"smoothing": "softmax"}),
            ((smooth, smooth[1:]), common),
            ((plain, plain[1:]), common),
        )
    ]
    # On average: where a gradient is next to nothing, its last bit decides which way Adam's whole step goes.
    same, other = (float((made[0] - image).abs().mean()) for image in made[1:])
    assert same < 1e-3
    assert other > 1e-2


def test_smoothing_leaves_pixels_in_float32_where_weights_are_not(photo):
    """Rounded to bfloat16, pixels would have 8 bits, and less of their differences."""
    network = cnnviz.load_network("resnet18", weights="random", device="cpu", precision="bf16")
    smooth = with_softmax(with_weights_cast(network, ["layer1"]))
    assert smooth.dtype == smooth.normalize(photo).dtype == torch.float32
    assert next(smooth.body.parameters()).dtype == torch.bfloat16


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
            net.body.pool(features)
            for net in (network, with_average_pooling(network), with_average_pooling(network, rescaled=True))
        )
        assert torch.allclose(rescaled, factor * plain, atol=1e-5)
        assert float(rescaled.mean() / maxima.mean()) == pytest.approx(1, abs=0.1)
        assert float(plain.mean() / maxima.mean()) < 0.6


def test_an_average_and_carried_moments_paint(squeezenet, photo):
    common = {"optimizer": "adam", "steps": 12, "scales": 2, "adam_fraction": 0.0}
    made = [
        transfer_style(squeezenet, photo, photo.flip(3), **common, **more)
        for more in ({}, {"average": 0.9}, {"keep_adam_state": False})
    ]
    assert all((made[0] - other).abs().max() > 1e-3 for other in made[1:])


def test_invalid_settings_are_refused():
    for wrong in ({"smoothing": "blur"}, {"average": 1.0}, {"layer_weights": "rising"}):
        with pytest.raises(UsageError):
            StyleSettings(**wrong)
    with pytest.raises(UsageError, match="tile"):
        StyleSettings(smoothing="softmax", tile=256)
