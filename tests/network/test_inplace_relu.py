"""ReLUs in place, or after a max pooling: same values and gradients, and every layer asked for as it is."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnviz.network import graph
from cnnviz.network.graph_rewrites import fuse_inplace_relu, stream_to_callback
from cnnviz.network.network import Network
from cnnviz.network.operations import is_max_pool


class Forked(nn.Module):
    """A ReLU that only a pooling reads, a functional one, and one that other nodes read too."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 8, 3, padding=1), nn.Conv2d(8, 4, 3)
        self.act, self.pool = nn.ReLU(), nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.act(self.one(x)))
        x = F.max_pool2d(F.relu(self.two(x)), 2)
        y = torch.relu(self.three(x))
        return (F.max_pool2d(y, 2).mean((2, 3)) + y.mean((2, 3))).sin()


class Residual(nn.Module):
    """A ReLU of a normalization, one of a sum, one of a sigmoid, which needs its output, and one of what is read on."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.norm, self.act = nn.BatchNorm2d(8), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.norm(self.one(x)))
        x = self.act(self.two(x) + x)
        x = F.relu(torch.sigmoid(x) - 0.6).exp() + torch.relu(x.sigmoid())
        y = self.two(x)
        return (y + F.relu(y)).mean((2, 3))


@pytest.fixture
def pixels():
    return torch.randn(2, 3, 40, 43, generator=torch.Generator().manual_seed(0), requires_grad=True)


def passed(run, pixels) -> tuple[torch.Tensor, torch.Tensor]:
    logits = run(pixels)
    return logits.detach(), torch.autograd.grad(logits.sum(), pixels)[0]


def relus_in_place(module) -> int:
    return sum(bool(node.kwargs.get("inplace")) for node in module.graph.nodes)


def test_values_and_gradients_are_the_same_to_the_last_bit(pixels):
    torch.manual_seed(0)
    plain = graph.trace(Forked().eval())
    fused = fuse_inplace_relu(plain)
    assert relus_in_place(fused) == 3
    pools = [node for node in fused.graph.nodes if is_max_pool(fused, node)]
    assert sum(bool(user.kwargs.get("inplace")) for pool in pools for user in pool.users) == 2
    for found, expected in zip(passed(fused, pixels), passed(plain, pixels), strict=True):
        assert torch.equal(found, expected)


def test_only_what_no_gradient_needs_is_overwritten(pixels):
    torch.manual_seed(0)
    plain = graph.trace(Residual().eval())
    fused = fuse_inplace_relu(plain)
    assert relus_in_place(fused) == 2  # of the normalization and of the sum
    for found, expected in zip(passed(fused, pixels), passed(plain, pixels), strict=True):
        assert torch.equal(found, expected)


def test_layers_asked_for_are_not_overwritten(pixels):
    torch.manual_seed(0)
    network = Network(Residual())
    asked = ["norm", "act", "add", "two_1"]
    together = network.features(pixels.sigmoid(), asked)
    for layer in asked:
        plain = network.truncated({"found": layer})(network.normalize(pixels.sigmoid()))["found"]
        assert torch.equal(together[layer], plain)


@pytest.mark.parametrize(("asked", "moved"), [(["pool"], 1), (["act", "pool"], 0), (["one", "pool", "relu"], 1)])
def test_what_is_streamed_is_what_was_asked_for(pixels, asked, moved):
    torch.manual_seed(0)
    network = Network(Forked())
    with torch.no_grad():
        streamed: dict[str, torch.Tensor] = {}
        network.stream_features(pixels.sigmoid(), asked, lambda name, value: streamed.update({name: value.clone()}))
        expected = network.features(pixels.sigmoid(), asked)
    assert list(streamed) == asked
    assert all(torch.equal(streamed[name], expected[name]) for name in asked)
    module = stream_to_callback(network.graph, {name: network.layers.node(name) for name in asked})
    pools = [node for node in module.graph.nodes if "pool" in str(node.target)]
    assert sum(bool(user.kwargs.get("inplace")) for pool in pools for user in pool.users) == moved


def test_a_network_gives_the_same_logits_once_its_graph_is_known(squeezenet, pixels):
    network = Network(copy.deepcopy(squeezenet.module))
    before = passed(network.logits, pixels)
    assert relus_in_place(fuse_inplace_relu(network.graph)) == 26
    for run in (network.logits, network):
        for found, expected in zip(passed(run, pixels), before, strict=True):
            assert torch.equal(found, expected)
