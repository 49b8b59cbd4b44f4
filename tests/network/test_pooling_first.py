"""ReLUs that wait until after a max pooling: the same values and slopes, and nobody asked for is left out."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnviz.network import Network, graph


class Forked(nn.Module):
    """A ReLU that a pooling alone reads, one by function, and one that is read beside."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 8, 3, padding=1), nn.Conv2d(8, 4, 3)
        self.act, self.pool = nn.ReLU(), nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.act(self.one(x)))
        x = F.max_pool2d(F.relu(self.two(x)), 2)
        y = torch.relu(self.three(x))
        return (F.max_pool2d(y, 2).mean((2, 3)) + y.mean((2, 3))).sin()


@pytest.fixture
def pixels():
    return torch.randn(2, 3, 40, 43, generator=torch.Generator().manual_seed(0), requires_grad=True)


def passed(run, pixels) -> tuple[torch.Tensor, torch.Tensor]:
    logits = run(pixels)
    return logits.detach(), torch.autograd.grad(logits.sum(), pixels)[0]


def rectified_in_place(module) -> int:
    return sum(bool(node.kwargs.get("inplace")) for node in module.graph.nodes)


def test_values_and_slopes_are_the_same_to_the_last_bit(pixels):
    torch.manual_seed(0)
    plain = graph.trace(Forked().eval())
    swift = graph.pooling_first(plain)
    assert rectified_in_place(swift) == 2  # the third is read beside
    for found, expected in zip(passed(swift, pixels), passed(plain, pixels), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize(("asked", "waiting"), [(["pool"], 1), (["act", "pool"], 0), (["one", "pool", "relu"], 1)])
def test_what_is_reported_is_what_was_asked_for(pixels, asked, waiting):
    torch.manual_seed(0)
    network = Network(Forked())
    with torch.no_grad():
        told: dict[str, torch.Tensor] = {}
        network.report(pixels.sigmoid(), asked, lambda name, value: told.update({name: value.clone()}))
        expected = network.features(pixels.sigmoid(), asked)
    assert list(told) == asked
    assert all(torch.equal(told[name], expected[name]) for name in asked)
    (module,) = network._reporting.values()
    pools = [node for node in module.graph.nodes if "pool" in str(node.target)]
    assert sum(bool(user.kwargs.get("inplace")) for pool in pools for user in pool.users) == waiting


def test_a_network_gives_the_same_logits_once_its_graph_is_known(squeezenet, pixels):
    network = Network(copy.deepcopy(squeezenet.module))
    before = passed(network.logits, pixels)
    assert rectified_in_place(network.layers and network._quick) == 1
    for run in (network.logits, network):
        for found, expected in zip(passed(run, pixels), before, strict=True):
            assert torch.equal(found, expected)
