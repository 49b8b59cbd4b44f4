"""Private operations of PyTorch: the right values, with them and with the fall-backs, on every machine."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F

from cnnviz import saliency
from cnnviz.network.fast.conv_weights import WeightCache
from cnnviz.runtime import private_torch

PADDING = (1, 1)
WAYS = [nullcontext, private_torch.disabled]
"""With the private operations where PyTorch has them, and without."""


@pytest.fixture
def weight():
    return torch.randn(16, 8, 3, 3, generator=torch.Generator().manual_seed(0))


def pixels(side: int = 9) -> torch.Tensor:
    found = torch.randn(1, 8, side, side, generator=torch.Generator().manual_seed(1))
    return found.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("way", WAYS)
def test_convolutions_and_their_gradients_are_torchs(weight, way):
    x, bias, gradient = pixels().requires_grad_(), torch.randn(16), torch.randn(1, 16, 9, 9)
    expected = F.conv2d(x, weight, bias, padding=1)
    with way():
        found = private_torch.onednn_conv2d(x, weight, bias, PADDING)
        packed = private_torch.onednn_conv2d(
            x.detach(), private_torch.pack_weight(weight, PADDING, x.shape), bias, PADDING
        )
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(packed, expected.detach(), atol=1e-4, rtol=1e-4)
    slopes = [torch.autograd.grad(value, x, gradient)[0] for value in (found, expected)]
    torch.testing.assert_close(*slopes, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_the_gradient_of_a_sigmoid_is_torchs(way):
    value = torch.randn(7, requires_grad=True)
    with way():
        found = private_torch.sigmoid_gradient(torch.arange(7.0), value.detach().sigmoid())
    torch.testing.assert_close(found, torch.autograd.grad(value.sigmoid(), value, torch.arange(7.0))[0])


@pytest.mark.parametrize("way", WAYS)
def test_values_can_be_read_without_torch_func(way):
    def look(x):
        with way(), private_torch.without_torch_func():
            torch.ones(2).add_(1)
        return x.square().sum()

    assert torch.equal(torch.func.grad(look)(torch.ones(2)), 2 * torch.ones(2))


@pytest.mark.needs("packing")
@pytest.mark.parametrize("side", [7, 9, 30])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_packed_weights_change_no_bit(weight, side, layout):
    x, bias = pixels(side).contiguous(memory_format=layout), torch.randn(16)
    found = private_torch.onednn_conv2d(x, private_torch.pack_weight(weight, PADDING, x.shape), bias, PADDING)
    plain = private_torch.onednn_conv2d(pixels(side), weight, bias, PADDING)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, plain)


@pytest.mark.needs("onednn")
def test_this_pytorch_packs_if_it_has_what_packs(weight):
    """Otherwise the figures of docs/benchmarks.md are not what users get."""
    if not hasattr(torch.ops.mkldnn, "_reorder_convolution_weight"):
        pytest.skip("this PyTorch cannot pack weights")
    assert private_torch.pack_weight(weight, PADDING, pixels().shape).is_mkldnn


def test_without_private_operations_weights_stay_as_they_are(weight):
    cache = WeightCache()
    with private_torch.disabled():
        found = [cache.get_packed("forward", weight, pixels().shape, PADDING, lambda: weight) for _ in range(3)]
        assert not private_torch.has_onednn()
        assert not private_torch.cpu_computes_bf16()
    assert all(kernel is weight for kernel in found)


def test_without_private_operations_a_network_gives_the_same(squeezenet):
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected, gradient = squeezenet(x).detach(), saliency(squeezenet, x, 7)
    with private_torch.disabled(), torch.backends.mkldnn.flags(enabled=False):
        torch.testing.assert_close(squeezenet(x).detach(), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(saliency(squeezenet, x, 7), gradient, rtol=1e-2, atol=1e-2 * float(gradient.max()))
