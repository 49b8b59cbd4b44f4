"""Products over positions and channels against einsum, by every way they are computed."""

from __future__ import annotations

import pytest
import torch

from cnnviz.synthesis.gram_ops import apply_channel_matrix, gram, spatial_sum


def _maps(count, channels, dtype, seed):
    chance = torch.Generator().manual_seed(seed)
    made = torch.randn(count, channels, 9, 13, generator=chance, dtype=torch.float64).to(dtype)
    return made.contiguous(memory_format=torch.channels_last)


CASES = [(torch.float64, 1, 1e-12), (torch.float32, 1, 1e-5), (torch.float32, 2, 1e-5), (torch.bfloat16, 1, 8e-3)]
"""Types, images at once, and the largest difference relative to the largest value."""


@pytest.mark.parametrize(("dtype", "count", "bound"), CASES)
def test_products_are_einsums(dtype, count, bound):
    one, other = _maps(count, 5, dtype, 0), _maps(count, 7, dtype, 1)
    matrices, shift = torch.randn(count, 4, 5, dtype=torch.float64), torch.randn(count, 4, dtype=torch.float64)
    high, low = one.double(), other.double()
    pairs = [
        (gram(one, other), torch.einsum("nihw,njhw->nij", high, low)),
        (spatial_sum(one), high.sum((2, 3))),
        (
            apply_channel_matrix(one, matrices, shift),
            torch.einsum("ndc,nchw->ndhw", matrices, high) + shift[:, :, None, None],
        ),
    ]
    for found, wanted in pairs:
        assert found.shape == wanted.shape
        assert float((found.double() - wanted).abs().max()) <= bound * float(wanted.abs().max())
    assert gram(one, other).dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def test_mixed_maps_lie_in_memory_as_the_features_do():
    """Otherwise adding them to another gradient would take a copy."""
    one = _maps(1, 5, torch.float32, 0)
    assert apply_channel_matrix(one, torch.ones(1, 5, 5), torch.zeros(1, 5)).is_contiguous(
        memory_format=torch.channels_last
    )


def test_a_tile_too_narrow_for_a_layer_adds_nothing():
    maps = torch.zeros(1, 4, 0, 5).contiguous(memory_format=torch.channels_last)
    assert torch.equal(gram(maps, maps), torch.zeros(1, 4, 4))
    assert apply_channel_matrix(maps, torch.ones(1, 4, 4), torch.ones(1, 4)).shape == (1, 4, 0, 5)
