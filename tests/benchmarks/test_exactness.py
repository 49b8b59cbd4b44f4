"""Gradients agree with float64 where ReLUs choose the same; the roofline is the least time of what runs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import cnnviz
from benchmarks import roofline
from benchmarks.exactness import difference_to_float64
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec

TOLERANCE = 3e-5
"""Of the largest value."""


def deep() -> nn.Module:
    """A network of the kind of VGG, in small, whose convolutions take Winograd's way."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 64), (64, 128), (128, 128), (128, 128)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 5))


@pytest.mark.parametrize("fast_conv", [False, True])
def test_gradients_agree_with_float64(fast_conv):
    network = Network(deep(), spec=InputSpec(size=17), optimize=True, fast_conv=fast_conv)
    assert difference_to_float64(network, torch.rand(1, 3, 17, 17), 2) <= TOLERANCE


def test_the_embedded_networks_gradients_agree_with_float64(chelsea):
    assert difference_to_float64(cnnviz.load_network("squeezenet1_1"), chelsea, 285) <= TOLERANCE


def test_the_roofline_is_the_longer_of_arithmetic_and_traffic(monkeypatch):
    monkeypatch.setattr(roofline, "measured_peaks", lambda _: {"matmul fp32": 2.0, "convolution bf16": 9.0})
    monkeypatch.setattr(roofline, "measured_traffic", lambda _: 1.0)
    one, other = torch.rand(64, 64), torch.rand(1, 64)
    cpu = torch.device("cpu")
    assert roofline.least_seconds(lambda: one @ one, cpu) == pytest.approx(2 * 64**3 / 2e9)
    assert roofline.least_seconds(lambda: other @ one, cpu) == pytest.approx(4 * (64 + 64 * 64 + 64) / 1e9)
    assert roofline.least_seconds(lambda: one + one, cpu) == 0
