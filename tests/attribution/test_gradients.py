"""Saliency against captum and against a gradient written out by hand."""

from __future__ import annotations

import pytest
import torch
from captum.attr import Saliency
from torch import nn

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec


class OnPixels(nn.Module):
    """A Network as a module, normalization included, for captum."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.module = network.module

    def forward(self, pixels):
        return self.network(pixels)


@pytest.mark.parametrize("model", ["squeezenet1_1", "resnet18", "googlenet"])
def test_saliency_is_captums(model, chelsea):
    weights = None if model == "squeezenet1_1" else "random"
    network = cnnviz.load_network(model, weights=weights, device="cpu")
    pixels = torch.cat([chelsea, chelsea.flip(3)])[..., :96, :130]
    target = network(pixels).argmax(1)
    reference = Saliency(OnPixels(network)).attribute(pixels.clone().requires_grad_(), target=target, abs=True)
    reference = reference.amax(1, keepdim=True)
    found = cnnviz.saliency(network, pixels)
    assert found.shape == (2, 1, 96, 130)
    assert (found - reference).abs().max() <= 1e-5 * reference.max()


def test_saliency_of_a_linear_network_is_its_weights():
    """Score = <w, (x - mean) / std>, so the gradient with respect to pixels is w / std wherever one looks."""
    torch.manual_seed(0)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2)).double()
    spec = InputSpec(size=8, fixed=True, mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.4))
    network = Network(linear, spec=spec)
    found = cnnviz.saliency(network, torch.rand(3, 3, 8, 8, dtype=torch.float64), target=[0, 1, 0])
    weight = linear[1].weight.view(2, 3, 8, 8) / torch.tensor(spec.std).double().view(1, 3, 1, 1)
    expected = weight[[0, 1, 0]].abs().amax(1, keepdim=True)
    torch.testing.assert_close(found, expected)


def test_targets(squeezenet, chelsea):
    by_name = cnnviz.saliency(squeezenet, chelsea, "tabby")
    assert torch.equal(by_name, cnnviz.saliency(squeezenet, chelsea, 281))
    assert torch.equal(by_name, cnnviz.saliency(squeezenet, chelsea, [281]))
    likeliest = cnnviz.saliency(squeezenet, chelsea)
    assert (by_name - likeliest).norm() > 0.1 * likeliest.norm()
    with pytest.raises(UsageError, match="2 classes were given for 1 images"):
        cnnviz.saliency(squeezenet, chelsea, [1, 2])
    with pytest.raises(UsageError, match="no class called"):
        cnnviz.saliency(squeezenet, chelsea, "zebu")


def test_works_inside_no_grad_and_leaves_the_input_alone(squeezenet, chelsea):
    before = chelsea.clone()
    with torch.no_grad():
        found = cnnviz.saliency(squeezenet, chelsea)
    assert found.max() > 0
    assert torch.equal(chelsea, before)
    assert not chelsea.requires_grad
