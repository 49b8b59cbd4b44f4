"""Derived weights: computed once for one size and one state of the weights, with the same results."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnviz.network.fast.conv import Conv2d, use_fast_convs
from cnnviz.network.fast.conv_weights import WeightCache, flip_transpose, pixel_shuffle, sub_pixel_weights

PADDING = (1, 1)


@pytest.fixture
def weight():
    return torch.randn(16, 8, 3, 3, generator=torch.Generator().manual_seed(0))


def pixels(side: int = 9) -> torch.Tensor:
    found = torch.randn(1, 8, side, side, generator=torch.Generator().manual_seed(1))
    return found.contiguous(memory_format=torch.channels_last)


def packed(cache: WeightCache, weight: torch.Tensor, sides: list[int]) -> list[bool]:
    """Which of several inputs, one after another, get packed weights."""
    shapes = [pixels(side).shape for side in sides]
    return [cache.get_packed("forward", weight, shape, PADDING, lambda: weight).is_mkldnn for shape in shapes]


@pytest.mark.needs("packing")
def test_weights_are_packed_for_a_size_that_comes_twice_in_a_row(weight):
    assert packed(WeightCache(), weight, [9, 9, 9, 12, 9, 9]) == [False, True, True, False, False, True]


def test_weights_are_packed_once(weight):
    cache, shape = WeightCache(), pixels().shape
    found = [cache.get_packed("forward", weight, shape, PADDING, lambda: weight) for _ in range(4)]
    assert found[1] is found[2] is found[3]


@pytest.mark.needs("packing")
def test_the_cache_follows_the_weights(weight):
    cache = WeightCache()
    assert packed(cache, weight, [9, 9]) == [False, True]
    weight.mul_(2)
    assert packed(cache, weight, [9, 9]) == [False, True]
    assert packed(cache, weight.clone(), [9]) == [False]
    assert cache.get("phases", weight, weight.clone) is cache.get("phases", weight, weight.clone)


@pytest.mark.needs("onednn")
def test_what_was_made_for_a_small_image_is_dropped_at_a_large_one():
    net = nn.Sequential(nn.Conv2d(8, 64, 3, padding=1)).requires_grad_(False)
    use_fast_convs(net)
    cache, weight = net[0].weight_cache, net[0].weight
    for _ in range(2):
        net(pixels(48))
    cache.get("phases", weight, lambda: sub_pixel_weights(weight, (2, 2)))
    assert cache.names == {"forward", "phases"}
    net(pixels(80))
    assert cache.names == {"phases"}


def test_inference_weights_are_not_cached():
    """They have no version counter."""
    with torch.inference_mode():
        weight = torch.randn(4, 3, 3, 3)
    cache = WeightCache()
    assert torch.equal(cache.get("phases", weight, lambda: weight + 1), weight + 1)
    assert torch.equal(cache.get("phases", weight, lambda: weight + 2), weight + 2)


def test_derived_weights_give_the_gradient(weight):
    x, gradient = pixels().requires_grad_(), torch.randn(1, 16, 9, 9)
    expected = torch.autograd.grad(F.conv2d(x, weight, padding=1), x, gradient)[0]
    torch.testing.assert_close(F.conv2d(gradient, flip_transpose(weight), padding=1), expected, atol=1e-4, rtol=1e-4)
    strided = F.conv2d(x, weight, stride=2)
    gradient = torch.randn_like(strided)
    found = pixel_shuffle(F.conv2d(gradient, sub_pixel_weights(weight, (2, 2)), padding=1), 8, (2, 2))
    expected = torch.autograd.grad(strided, x, gradient)[0]
    torch.testing.assert_close(found[..., :9, :9], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.needs("packing")
def test_the_cache_is_neither_copied_nor_pickled():
    net = nn.Sequential(nn.Conv2d(8, 64, 3, padding=1)).requires_grad_(False)
    use_fast_convs(net)
    x = pixels(48)
    expected = [net(x) for _ in range(3)][-1]
    assert net[0].weight_cache.names == {"forward"}
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert type(other[0]) is Conv2d
        assert not other[0].weight_cache.names
        assert torch.equal(other(x), expected)
