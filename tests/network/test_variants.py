"""Networks altered for making pictures: what they share, and what they compute."""

from __future__ import annotations

from dataclasses import replace

import torch

from cnnviz.network.variants import with_average_pooling, with_weights_cast


def test_weights_cast_beforehand_change_no_bit(squeezenet):
    low = replace(squeezenet, precision="bf16")
    cast = with_weights_cast(with_average_pooling(low))
    pixels = torch.rand(1, 3, 64, 80, generator=torch.Generator().manual_seed(0)).requires_grad_()
    slopes = []
    for network in (with_average_pooling(low), cast):
        maps = network.features(pixels, ["fire4"])["fire4"]
        slopes.append(torch.autograd.grad(maps.square().sum(), pixels)[0])
        assert network.dtype == torch.float32
    assert torch.equal(*slopes)
    assert all(p.dtype == torch.float32 for p in squeezenet.module.parameters())
    assert with_weights_cast(squeezenet) is squeezenet


def test_raw_features_are_in_the_type_they_were_computed_in(squeezenet):
    low = replace(squeezenet, precision="bf16")
    pixels = torch.rand(1, 3, 64, 64)
    raw, wide = low.features(pixels, ["fire4"], raw=True)["fire4"], low.features(pixels, ["fire4"])["fire4"]
    assert raw.dtype == torch.bfloat16
    assert wide.dtype == torch.float32
    assert torch.equal(raw.float(), wide)
