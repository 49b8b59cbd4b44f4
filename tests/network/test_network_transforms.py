"""Variants of a network: what they share, and what they compute."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from dataclasses import replace

import torch
from torch import nn

from cnnviz.network.network import Network
from cnnviz.network.network_transforms import with_average_pooling, with_recomputed_pooling, with_weights_cast
from cnnviz.network.shapes import output_shapes


def test_weights_cast_beforehand_change_no_bit(squeezenet):
    low = replace(squeezenet, precision="bf16")
    cast = with_weights_cast(with_average_pooling(low), ["fire4"])
    pixels = torch.rand(1, 3, 64, 80, generator=torch.Generator().manual_seed(0)).requires_grad_()
    slopes = []
    for network in (with_average_pooling(low), cast):
        maps = network.features(pixels, ["fire4"])["fire4"]
        slopes.append(torch.autograd.grad(maps.square().sum(), pixels)[0])
        assert network.dtype == torch.float32
    assert torch.equal(*slopes)
    assert all(p.dtype == torch.float32 for p in squeezenet.body.parameters())
    assert with_weights_cast(squeezenet, ["fire4"]) is squeezenet


def test_shapes_are_known_of_layers_in_two_types():
    """Those of a convolution whose weights were cast, after one that was not: only autocast makes them one type."""
    parts = OrderedDict(one=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4), two=nn.Conv2d(4, 2, 1), relu=nn.ReLU())
    module = nn.Sequential(parts | {"pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten()})
    cast = with_weights_cast(Network(module, precision="bf16", size=16, optimize=True), ["two"])
    cast.body.one.float()
    shapes = output_shapes(cast.truncated({"two": "two"}), (1, 3, 16, 16))
    assert (1, 2, 14, 14) in [tuple(shape) for shape in shapes.values() if isinstance(shape, torch.Size)]


def test_raw_features_are_in_the_type_they_were_computed_in(squeezenet):
    low = replace(squeezenet, precision="bf16")
    pixels = torch.rand(1, 3, 64, 64)
    raw, wide = low.features(pixels, ["fire4"], raw=True)["fire4"], low.features(pixels, ["fire4"])["fire4"]
    assert raw.dtype == torch.bfloat16
    assert wide.dtype == torch.float32
    assert torch.equal(raw.float(), wide)


def test_only_weights_that_are_needed_are_held_twice(squeezenet):
    cast = with_weights_cast(replace(squeezenet, precision="bf16"), ["fire3"])
    kinds = {name: weight.dtype for name, weight in cast.body.named_parameters() if name.endswith("weight")}
    assert kinds["features.4.squeeze.weight"] == torch.bfloat16  # fire3
    assert kinds["features.6.squeeze.weight"] == torch.float32  # fire4


def test_lean_pooling_computes_the_same_and_keeps_no_indices(squeezenet):
    lean, slopes, kept = with_recomputed_pooling(squeezenet), [], []
    for network in (squeezenet, lean):
        pixels = torch.rand(1, 3, 64, 80, generator=torch.Generator().manual_seed(0)).requires_grad_()
        types: list[torch.dtype] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, types=types: types.append(x.dtype) or x, lambda x: x):
            maps = network.features(pixels, ["fire4"])["fire4"]
        kept.append(types)
        slopes.append(torch.autograd.grad(maps.square().sum(), pixels)[0])
    assert torch.equal(*slopes)
    assert torch.int64 in kept[0]
    assert torch.int64 not in kept[1]


def test_layers_are_reported_one_by_one_and_freed(squeezenet):
    """Each as ``features`` has it, before the next is computed; of those that nobody keeps none is left at the end."""
    pixels, layers = torch.rand(1, 3, 64, 64), ["relu1", "fire3", "fire5"]
    wanted, seen, alive = squeezenet.features(pixels, layers), [], []

    def tell(layer, maps):
        assert torch.equal(maps, wanted[layer])
        alive.append(sum(known() is not None for _, known in seen))
        seen.append((layer, weakref.ref(maps)))

    with torch.no_grad():
        squeezenet.stream_features(pixels, layers, tell)
    assert [layer for layer, _ in seen] == layers
    assert alive == [0, 0, 0]
