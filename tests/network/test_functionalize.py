"""In-place statements of a forward pass: the graph computes the same, and no layer's output is overwritten."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnviz.errors import ModelError
from cnnviz.network.graph import trace
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec

PLAIN = InputSpec(size=20, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class InPlace(nn.Module):
    """Statements and functions that change a tensor in place, each in a network of its own."""

    def __init__(self, statement) -> None:
        super().__init__()
        self.conv, self.act, self.fc = nn.Conv2d(3, 6, 3), nn.ReLU(inplace=True), nn.Linear(6, 4)
        self.drop = nn.Dropout(0.5)
        self.statement = statement

    def forward(self, x):
        return self.fc(self.statement(self, self.conv(x)).mean((2, 3)))


def _method(m, y):
    y.relu_()
    return y


def _sum(m, y):
    z = y * 2
    z.add_(y)
    z.mul_(0.5).sub_(0.1)
    return z


def _function(m, y):
    F.leaky_relu_(y, 0.2)
    return y


def _keyword(m, y):
    F.relu(y, inplace=True)
    return y * 2


def _positional(m, y):
    F.elu(y, 1.0, True)
    return y


def _module(m, y):
    m.act(y)
    return y


def _second_name(m, y):
    z = y
    z += 1
    return y * z


def _read_again(m, y):
    return m.act(y) + y


def _dropped(m, y):
    z = m.drop(y)
    z.clamp_(min=0)
    return y


def _halves(m, y):
    a, b = y.chunk(2, 1)
    return torch.cat([a, a * b.sigmoid_()], 1)


def _torch_function(m, y):
    torch.sigmoid_(y)
    return y


def _zeroed(m, y):
    z = y.clone()
    z.zero_()
    z.copy_(y[:1]).add_(1)
    return z * y


def _masks(m, y):
    return y * ((y > 0) & (y < 1) | (y < -1))


def _mask_in_place(m, y):
    mask = y > 0
    mask &= y < 1
    return y * mask


STATEMENTS = [
    _method, _sum, _function, _keyword, _positional, _module, _second_name, _read_again, _dropped, _halves,
    _torch_function, _zeroed, _masks, _mask_in_place,
]  # fmt: skip


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement.__name__.strip("_"))
def test_in_place_statements_are_followed(statement):
    torch.manual_seed(0)
    module = InPlace(statement).eval()
    network, pixels = Network(module, spec=PLAIN), torch.rand(1, 3, 20, 20)
    conv = {}
    handle = module.conv.register_forward_hook(lambda m, args, out: conv.update(out=out.clone()))
    with torch.no_grad():
        expected = module(pixels)
    handle.remove()
    found = network.truncated({"conv": "conv", "logits": None})(network.normalize(pixels))
    torch.testing.assert_close(found["logits"], expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(found["conv"], conv["out"], rtol=0, atol=1e-6)
    together = network.features(pixels, ["conv", "fc"])
    torch.testing.assert_close(together["conv"], conv["out"], rtol=0, atol=1e-6)
    torch.testing.assert_close(together["fc"], expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(network.logits(pixels), expected, rtol=0, atol=1e-6)


def _part(m, y):
    y[:, 0] = 0
    return y


def test_an_assignment_to_a_part_of_a_tensor_is_named_and_followed_by_torch_export():
    torch.manual_seed(0)
    module, pixels = InPlace(_part).eval(), torch.rand(1, 3, 20, 20)
    with pytest.raises(ModelError, match="assigning to a part of a tensor"):
        trace(copy.deepcopy(module))
    network = Network(module, spec=PLAIN)
    torch.testing.assert_close(network.features(pixels, ["fc"])["fc"], module(pixels), rtol=0, atol=1e-6)
    assert network.traced_by == "export"
