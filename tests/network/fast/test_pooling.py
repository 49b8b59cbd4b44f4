"""Global average pooling against torch's own: values, gradients, gradients of gradients, and its place in a graph."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from cnnviz.network.fast.pooling import AdaptiveAvgPool2d, use_fast_pooling
from cnnviz.network.network import Network


class Tail(nn.Module):
    """What stands before the pooling in SqueezeNet and in ResNets, on the way to three classes."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.conv, self.act, self.pool = nn.Conv2d(3, 3, 3), nn.ReLU(), pool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pool(self.act(self.conv(x))).flatten(1)


def pair(pool: nn.Module, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    plain = Tail(pool).to(dtype)
    ours = copy.deepcopy(plain)
    use_fast_pooling(ours)
    return plain, ours


@pytest.mark.parametrize("size", [1, (1, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_values_and_gradients_are_torchs_to_the_last_bit(size, layout, dtype):
    plain, ours = (network.pool for network in pair(nn.AdaptiveAvgPool2d(size)))
    assert type(ours) is AdaptiveAvgPool2d
    maps = torch.randn(2, 5, 7, 9).to(dtype).contiguous(memory_format=layout).requires_grad_()
    found, expected = ours(maps), plain(maps)
    assert torch.equal(found, expected)
    slopes = [torch.autograd.grad(value.sin().sum(), maps)[0] for value in (found, expected)]
    assert torch.equal(*slopes)
    assert slopes[0].untyped_storage().nbytes() < slopes[1].untyped_storage().nbytes()


def test_it_may_stand_anywhere_a_gradient_goes_through_twice():
    plain, ours = pair(nn.AdaptiveAvgPool2d(1))
    pixels = torch.randn(2, 3, 6, 8, dtype=torch.float64).requires_grad_()
    found = []
    for network in (ours, plain):
        first = torch.autograd.grad(network(pixels).pow(3).sum(), pixels, create_graph=True)[0]
        found.append(torch.autograd.grad(first.square().sum(), pixels)[0])
    torch.testing.assert_close(*found)


def test_other_sizes_are_left_to_torch():
    assert type(pair(nn.AdaptiveAvgPool2d(2))[1].pool) is nn.AdaptiveAvgPool2d
    assert type(pair(nn.AdaptiveAvgPool2d((1, None)))[1].pool) is nn.AdaptiveAvgPool2d


def test_it_is_a_layer_by_its_parents_name():
    network = Network(Tail(nn.AdaptiveAvgPool2d(1)))
    (layer,) = (layer for layer in network.layer_table((16, 16)) if layer.name == "pool")
    assert layer.kind == "AdaptiveAvgPool2d"
    assert tuple(layer.shape) == (3, 1, 1)
