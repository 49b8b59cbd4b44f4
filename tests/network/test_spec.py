"""The input that a network expects: what is given, what is assumed, and the range of its values."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.network.catalogue import IMAGENET_MEAN, IMAGENET_STD
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec, given_spec

HALF = (0.5, 0.5, 0.5)
PIXELS = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def network(planes: int = 3, **given) -> Network:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(planes, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Network(module, **given)


def test_what_is_not_given_is_imagenets_and_said_to_be_assumed():
    spec = network().spec
    assert (spec.size, spec.channels, spec.mean, spec.std, spec.input_range) == (
        224,
        3,
        IMAGENET_MEAN,
        IMAGENET_STD,
        (0, 1),
    )
    assert spec.assumed == ("size", "mean", "std", "input_range")
    given = network(mean=HALF, size=64).spec
    assert (given.size, given.mean, given.std, given.assumed) == (64, HALF, IMAGENET_STD, ("std", "input_range"))
    assert cnnviz.load_network("squeezenet1_1").spec.assumed == InputSpec().assumed == ()


def test_what_is_given_goes_before_a_spec():
    spec = InputSpec(32, 40, 8, mean=HALF, std=HALF, interpolation="bicubic")
    assert network(spec=spec).spec == spec
    found = network(spec=spec, size=64, std=(1, 1, 1)).spec
    assert (found.size, found.resize, found.mean, found.std, found.interpolation) == (
        64,
        80,
        HALF,
        (1, 1, 1),
        "bicubic",
    )


def test_other_channels_are_not_normalized_unless_that_is_given():
    assert (network(1, channels=1).spec.mean, network(1, channels=1).spec.std) == ((0.0,), (1.0,))
    assert network(1, channels=1, mean=[0.4], std=[0.2]).spec.mean == (0.4,)


@pytest.mark.parametrize("given", [(0, 255), (-1, 1), (0.0, 1.0), (-128, 127)])
def test_pixels_are_scaled_to_the_range_before_the_mean(given):
    low, high = given
    mean, std = (1.5, 2.0, 3.0), (7.0, 5.0, 2.0)
    found = network(size=8, input_range=given, mean=mean, std=std).normalize(PIXELS)
    scaled = PIXELS * (high - low) + low
    expected = (scaled - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    torch.testing.assert_close(found, expected)


def test_a_range_alone_is_the_whole_normalization():
    made = network(size=8, input_range=(-1, 1))
    torch.testing.assert_close(made.normalize(PIXELS), 2 * PIXELS - 1)
    assert made.spec.assumed == ()
    loaded = cnnviz.load_network("squeezenet1_1", input_range=(0, 255))
    torch.testing.assert_close(loaded.normalize(torch.ones(1, 3, 64, 64)), torch.full((1, 3, 64, 64), 255.0))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"input_range": (1, 0)}, "to a larger one"),
        ({"input_range": 255}, "two numbers"),
        ({"input_range": (0, float("inf"))}, "to a larger one"),
        ({"size": 0}, "whole number of pixels"),
        ({"size": 22.5}, "whole number of pixels"),
        ({"size": (32, 32)}, "whole number of pixels"),
        ({"mean": (0.5,)}, "3 finite numbers"),
        ({"std": (1, 0, 1)}, "must be positive"),
        ({"activation": "tanh"}, "choices are auto, softmax, sigmoid, none"),
    ],
)
def test_what_does_not_fit_is_named(given, message):
    with pytest.raises(UsageError, match=message):
        network(**given)


def test_a_network_is_pickled_with_all_that_was_given():
    made = network(size=8, input_range=(-1, 1), output=None, activation="sigmoid", labels=["a", "b", "c", "d"])
    again = pickle.loads(pickle.dumps(made))
    assert (again.spec, again.activation, again.labels) == (made.spec, "sigmoid", ("a", "b", "c", "d"))
    torch.testing.assert_close(again(PIXELS), made(PIXELS))


def test_given_spec_of_nothing_is_imagenets():
    assert given_spec(InputSpec()) == InputSpec()
