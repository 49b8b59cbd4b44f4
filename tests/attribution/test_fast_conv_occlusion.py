"""Occlusion with convolutions in fewer multiplications: the same map, from windows and from whole passes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import cnnviz
from cnnviz.attribution.incremental import convolution
from cnnviz.network.fast.winograd import winograd_conv2d


def network() -> cnnviz.Network:
    """Two convolutions that take Winograd's way, one with a normalization after it."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 96, 3, 2, 1), nn.ReLU(),
        nn.Conv2d(96, 96, 3, padding=1, bias=False), nn.BatchNorm2d(96), nn.ReLU(),
        nn.Conv2d(96, 96, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 5),
    )  # fmt: skip
    norm = module[3]
    assert isinstance(norm, nn.BatchNorm2d)
    for each, least in ((norm.running_mean, -1), (norm.running_var, 0.5), (norm.weight.data, 0.5)):
        each.uniform_(least, 1.5)
    return cnnviz.Network(module, size=64, optimize=True)


@pytest.mark.needs("onednn")
@pytest.mark.parametrize("algorithm", ["incremental", "full"])
def test_it_agrees_with_direct_convolutions(algorithm, monkeypatch):
    calls = []

    def counted(*given):
        calls.append(given[0].shape)
        return winograd_conv2d(*given)

    monkeypatch.setattr(convolution, "winograd_conv2d", counted)
    net, pixels = network(), torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    options = {"target": 2, "patch": 24, "stride": 8, "score": "logit", "algorithm": algorithm}
    direct = cnnviz.occlusion(net, pixels, **options)
    assert not calls
    net.use_fast_conv(True)
    found = cnnviz.occlusion(net, pixels, **options)
    assert calls
    assert float((found - direct).abs().max()) < 5e-5 * float(net(pixels).abs().max())
