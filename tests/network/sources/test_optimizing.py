"""A network is changed for speed only where that changes no number."""

from __future__ import annotations

import torch
from torch import nn

import cnnviz
from cnnviz.network.sources.optimizing import optimized


class Tiny(nn.Module):
    """In place, the activation changes the tensor that ``forward`` adds to it afterwards."""

    def __init__(self, *, in_place: bool) -> None:
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=in_place), nn.Linear(4, 5)

    def forward(self, x):
        y = self.conv(x)
        return self.head((self.relu(y) + y).mean((2, 3)))


def test_a_module_whose_numbers_would_change_is_left_alone():
    torch.manual_seed(0)
    module = Tiny(in_place=False)
    found = optimized(module, {"size": 32})
    assert found is not None and found.optimize
    pixels = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(found(pixels), cnnviz.Network(module, size=32)(pixels))
    assert optimized(Tiny(in_place=True), {"size": 32}) is None


def test_a_module_that_cannot_be_tried_is_left_alone():
    assert optimized(nn.Sequential(nn.Flatten(), nn.Linear(7, 5)), {"size": 32, "labels": list("abcde")}) is None
