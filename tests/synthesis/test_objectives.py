"""Scores against the whole layer: cut, sliced and leaking, they must say the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cnnviz.errors import UsageError
from cnnviz.network.network import Network
from cnnviz.synthesis.objectives import Channels, Classes, make_activation, make_score


class Branches(nn.Module):
    """Two rectified branches side by side, as in a fire module, and a linear classifier."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2)
        self.left, self.right = nn.Conv2d(4, 3, 1), nn.Conv2d(4, 2, 3, padding=1)
        self.relu = nn.ReLU()
        self.head = nn.Linear(5, 6)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        x = torch.cat([self.relu(self.left(x)), self.relu(self.right(x))], 1)
        return self.head(x.mean((2, 3)))


@pytest.fixture
def net():
    torch.manual_seed(2)
    return Network(Branches().double())


@pytest.fixture
def pixels():
    return torch.rand(3, 3, 21, 17, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_a_class_score_of_a_linear_classifier_is_its_logit(net, pixels):
    found = make_score(net, Classes((5, 0, 2)))(pixels)
    torch.testing.assert_close(found, net(pixels)[[0, 1, 2], [5, 0, 2]])


def test_squeezenet_scores_by_its_last_convolution_before_the_relu(squeezenet, chelsea):
    found = make_score(squeezenet, Classes((282, 7)))(chelsea.repeat(2, 1, 1, 1))
    maps = squeezenet.features(chelsea, ["classifier.1"])["classifier.1"]
    torch.testing.assert_close(found, maps[0, [282, 7]].mean((1, 2)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("at", [None, (3, 2), "center"])
def test_a_sliced_convolution_is_the_whole_one(net, pixels, at):
    found = make_score(net, Channels("right", (1, 0, 1), at))(pixels)
    maps = net.features(pixels, ["right"])["right"][[0, 1, 2], [1, 0, 1]]
    y, x = (maps.shape[1] // 2, maps.shape[2] // 2) if at == "center" else at or (0, 0)
    expected = maps.mean((1, 2)) if at is None else maps[:, y, x]
    torch.testing.assert_close(found, expected)


def test_a_first_convolution_is_sliced_too(net, pixels):
    found = make_score(net, Channels("stem", (3,)))(pixels)
    torch.testing.assert_close(found, net.features(pixels, ["stem"])["stem"][:, 3].mean((1, 2)))


def test_final_relus_leak_and_those_before_do_not(net, pixels):
    raw = net.features(pixels, ["left", "right"])
    expected = torch.nn.functional.leaky_relu(torch.cat([raw["left"], raw["right"]], 1), 0.1)
    for channel in range(5):
        found = make_score(net, Channels("cat", (channel,)))(pixels)
        torch.testing.assert_close(found, expected[:, channel].mean((1, 2)))


def test_relus_before_a_final_pooling_leak(net, pixels):
    class Pooled(Branches):
        def forward(self, x):
            x = torch.relu(self.stem(x))
            x = nn.functional.max_pool2d(torch.relu(self.left(x)), 2)
            return self.head(nn.functional.pad(x, (0, 0, 0, 0, 0, 2)).mean((2, 3)))

    torch.manual_seed(2)
    pooled = Network(Pooled().double())
    raw = pooled.features(pixels, ["left"])["left"]
    expected = nn.functional.max_pool2d(nn.functional.leaky_relu(raw, 0.1), 2)
    for channel in range(3):
        found = make_score(pooled, Channels("max_pool2d", (channel,)))(pixels)
        torch.testing.assert_close(found, expected[:, channel].mean((1, 2)))


def test_activations_are_measured_without_leaky_relus(net, pixels):
    found = make_activation(net, Channels("cat", (4, 4, 0)))(pixels)
    expected = net.features(pixels, ["cat"])["cat"][[0, 1, 2], [4, 4, 0]].mean((1, 2))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("layer", "channel"), [("fire5", 13), ("features.5", 2), ("features.5", 7)])
def test_a_channel_that_noise_leaves_dead_still_has_a_gradient(squeezenet, layer, channel):
    """fire5's channel 13 is zero on gray, and 275 on the image made for it; the others lie behind a pooling."""
    gray = torch.full((1, 3, 96, 96), 0.5, requires_grad=True)
    subject = Channels(layer, (channel,))
    assert float(make_activation(squeezenet, subject)(gray.detach())) == 0
    (gradient,) = torch.autograd.grad(make_score(squeezenet, subject)(gray).sum(), gray)
    assert float(gradient.abs().max()) > 0


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        (Channels("left", (3,)), "channels 0 to 2"),
        (Channels("head", (0,)), "no map"),
        (Channels("lefft", (0,)), "left"),
    ],
)
def test_missing_layers_and_channels_are_refused(net, subject, message):
    with pytest.raises(UsageError, match=message):
        make_score(net, subject)


def test_a_position_outside_the_map_is_refused(net, pixels):
    with pytest.raises(UsageError, match="10 rows and 8 columns"):
        make_score(net, Channels("left", (0,), (10, 0)))(pixels)
