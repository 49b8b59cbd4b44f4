"""Sequences whose ReLUs overwrite their input or run after pooling: the same numbers, and nothing else overwritten."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn

from cnnviz.network.fast.sequential import Sequential, use_fast_sequences


@pytest.fixture
def pair() -> tuple[nn.Sequential, nn.Sequential]:
    """PyTorch's sequence and ours with the same weights."""
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(3, 8, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU()),
        nn.Conv2d(8, 8, 1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Sigmoid(),
        nn.ReLU(),
        nn.AvgPool2d(2),
    )
    plain.eval().requires_grad_(False)
    ours = copy.deepcopy(plain)
    use_fast_sequences(ours)
    return plain, ours


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.randn(2, 3, 21, 18, generator=torch.Generator().manual_seed(0))


def passed(module: nn.Module, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x = pixels.clone().requires_grad_()
    value = module(x)
    return value.detach(), torch.autograd.grad(value.sin().sum(), x)[0]


def test_values_and_gradients_are_pytorchs_to_the_last_bit(pair, pixels):
    plain, ours = pair
    assert type(ours) is type(ours[4]) is Sequential
    for found, expected in zip(passed(ours, pixels), passed(plain, pixels), strict=True):
        assert torch.equal(found, expected)
    with torch.inference_mode():
        before = pixels.clone()
        assert torch.equal(ours(pixels), plain(pixels))
        assert torch.equal(pixels, before)


def test_only_new_outputs_are_overwritten_and_a_relu_waits_for_the_pooling(pair, pixels, monkeypatch):
    seen: list[tuple[int, bool]] = []
    relu = F.relu
    monkeypatch.setattr(F, "relu", lambda x, inplace=False: (seen.append((x.shape[2], inplace)), relu(x, inplace))[1])
    pair[1](pixels)
    assert seen == [(21, False), (9, True), (7, True), (7, True), (7, False)]


def test_a_hook_sees_what_it_would_see(pair, pixels):
    plain, ours = pair
    kept: dict[tuple[str, int], torch.Tensor] = {}
    for name, module in (("plain", plain), ("ours", ours)):
        for place in (1, 2, 3):
            module[place].register_forward_hook(
                lambda _, __, output, name=name, place=place: kept.update({(name, place): output})
            )
        module(pixels)
    assert all(torch.equal(kept["ours", place], kept["plain", place]) for place in (1, 2, 3))


def test_a_traced_sequence_has_the_operations_as_they_are(pair, pixels):
    plain, ours = pair

    class Tracer(fx.Tracer):
        def is_leaf_module(self, module: nn.Module, name: str) -> bool:
            return not isinstance(module, nn.Sequential)

    graphs = [[node.target for node in Tracer().trace(module).nodes] for module in pair]
    assert graphs[0] == graphs[1]
    assert str(plain) == str(ours)
