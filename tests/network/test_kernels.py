"""Kernels made ready once: the same results to the last bit, for one size and one state of the weights."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnviz import saliency
from cnnviz.network import kernels
from cnnviz.network.frozen import Conv2d, freeze_convolutions
from cnnviz.network.kernels import Kernels, convolved, interleaved, packed, phases, turned

PADDING = (1, 1)


@pytest.fixture
def weight():
    return torch.randn(16, 8, 3, 3, generator=torch.Generator().manual_seed(0))


def _pixels(side: int = 9, count: int = 1) -> torch.Tensor:
    found = torch.randn(count, 8, side, side, generator=torch.Generator().manual_seed(1))
    return found.contiguous(memory_format=torch.channels_last)


@pytest.mark.needs("packing")
@pytest.mark.parametrize("side", [7, 9, 30])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_packed_kernels_change_no_bit(weight, side, layout):
    x, bias = _pixels(side).contiguous(memory_format=layout), torch.randn(16)
    found = convolved(x, packed(weight, PADDING, x.shape), bias, PADDING)
    plain = convolved(_pixels(side), weight, bias, PADDING)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, plain)


def _kinds(kept: Kernels, weight: torch.Tensor, sides: list[int]) -> list[bool]:
    """Which of several inputs one after another meet a packed kernel."""
    shapes = [_pixels(side).shape for side in sides]
    return [kept.for_size("forward", weight, shape, PADDING, lambda: weight).is_mkldnn for shape in shapes]


@pytest.mark.needs("packing")
def test_what_comes_twice_in_a_row_is_packed_for(weight):
    assert _kinds(Kernels(), weight, [9, 9, 9, 12, 9, 9]) == [False, True, True, False, False, True]


@pytest.mark.needs("onednn")
def test_a_packed_kernel_is_packed_once(weight, monkeypatch):
    kept, shape, calls = Kernels(), _pixels().shape, []
    monkeypatch.setattr(kernels, "packed", lambda *given: calls.append(given) or packed(*given))
    found = [kept.for_size("forward", weight, shape, PADDING, lambda: weight) for _ in range(4)]
    assert len(calls) == 1
    assert found[1] is found[2] is found[3]


@pytest.mark.needs("packing")
def test_nothing_is_kept_of_weights_that_are_gone(weight):
    kept = Kernels()
    assert _kinds(kept, weight, [9, 9]) == [False, True]
    weight.mul_(2)
    assert _kinds(kept, weight, [9, 9]) == [False, True]
    assert _kinds(kept, weight.clone(), [9]) == [False]
    assert kept.get("phases", weight, lambda: phases(weight, (2, 2))) is kept.get("phases", weight, weight.clone)


@pytest.mark.needs("onednn")
def test_what_was_made_for_a_small_picture_is_dropped_at_a_large_one():
    net = nn.Sequential(nn.Conv2d(8, 64, 3, padding=1)).requires_grad_(False)
    freeze_convolutions(net)
    kept = net[0].kernels
    for _ in range(2):
        net(_pixels(48))
    kept.get("phases", net[0].weight, lambda: phases(net[0].weight, (2, 2)))
    assert set(kept._kept) == {"forward", "phases"}
    net(_pixels(80))
    assert set(kept._kept) == {"phases"}


def test_weights_that_do_not_tell_of_changes_are_not_kept():
    with torch.inference_mode():
        weight = torch.randn(4, 3, 3, 3)
    kept = Kernels()
    assert torch.equal(kept.get("phases", weight, lambda: weight + 1), weight + 1)
    assert torch.equal(kept.get("phases", weight, lambda: weight + 2), weight + 2)


@pytest.mark.parametrize("missing", ["_reorder_convolution_weight", "_convolution_pointwise"])
def test_a_pytorch_that_packs_nothing_convolves_all_the_same(weight, monkeypatch, missing):
    class Without:
        def __getattr__(self, name):
            if name == missing:
                raise AttributeError(name)
            return getattr(torch.ops.mkldnn, name)

    class Operations:
        mkldnn = Without()

    class Torch:
        ops = Operations()

        def __getattr__(self, name):
            return getattr(torch, name)

    monkeypatch.setattr(kernels, "torch", Torch())
    kernels._can_pack.cache_clear()
    try:
        kept = Kernels()
        found = [kept.for_size("forward", weight, _pixels().shape, PADDING, lambda: weight) for _ in range(3)]
        assert all(kernel is weight for kernel in found)
    finally:
        kernels._can_pack.cache_clear()


@pytest.mark.needs("onednn")
def test_this_pytorch_packs_if_it_has_what_packs(weight):
    """Or what is measured in docs/benchmarks.md is not what users get."""
    if not hasattr(torch.ops.mkldnn, "_reorder_convolution_weight"):
        pytest.skip("this PyTorch cannot pack kernels")
    assert packed(weight, PADDING, _pixels().shape).is_mkldnn


def test_without_onednn_a_network_computes_by_other_means(weight, squeezenet):
    """A build that lacks it, as Apple's, raises where it is called."""
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected, slope = squeezenet(x).detach(), saliency(squeezenet, x, 7)
    with torch.backends.mkldnn.flags(enabled=False), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "mkldnn_convolution", None)
        patch.setattr(kernels, "_can_pack", lambda: False)
        torch.testing.assert_close(squeezenet(x).detach(), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(saliency(squeezenet, x, 7), slope, rtol=1e-2, atol=1e-2 * float(slope.max()))


def test_a_turned_kernel_and_phases_are_the_adjoints(weight):
    x, slope = _pixels().requires_grad_(), torch.randn(1, 16, 9, 9)
    expected = torch.autograd.grad(F.conv2d(x, weight, padding=1), x, slope)[0]
    torch.testing.assert_close(F.conv2d(slope, turned(weight), padding=1), expected, atol=1e-4, rtol=1e-4)
    strided = F.conv2d(x, weight, stride=2)
    slope = torch.randn_like(strided)
    met = interleaved(F.conv2d(slope, phases(weight, (2, 2)), padding=1), 8, (2, 2))
    expected = torch.autograd.grad(strided, x, slope)[0]
    torch.testing.assert_close(met[..., :9, :9], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.needs("packing")
def test_kernels_are_neither_copied_nor_sent():
    net = nn.Sequential(nn.Conv2d(8, 64, 3, padding=1)).requires_grad_(False)
    freeze_convolutions(net)
    x = _pixels(48)
    expected = [net(x) for _ in range(3)][-1]
    assert net[0].kernels._kept["forward"].is_packed
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert type(other[0]) is Conv2d
        assert not other[0].kernels._kept
        assert torch.equal(other(x), expected)
