"""XRAI: regions ranked by their attribution."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import cnnviz
from cnnviz.attribution.superpixels import overlapping_segments
from cnnviz.attribution.xrai import region_values
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec


def test_the_best_region_is_first_and_others_count_what_they_add():
    values = np.zeros((4, 4))
    values[:2, :2], values[:, 2:] = 3.0, 1.0
    small, left, whole = np.zeros((3, 4, 4), bool)
    small[:2, :2] = left[:, :2] = whole[:] = True
    found = region_values(np.stack([whole, left, small]), values)
    assert (found[:2, :2] == 3).all()
    assert np.allclose(found[2:, :2], 2 / 3) and np.allclose(found[:, 2:], 2 / 3)  # the whole, without the corner
    assert np.allclose(region_values(np.stack([small]), values)[:, 2:], 2 / 3)  # what is left over
    assert np.isclose(found.sum(), values.sum())


def test_a_network_that_reads_one_square_has_its_region_first():
    weights = torch.zeros(2, 3, 48, 48)
    weights[1, :, 8:24, 8:24] = 0.1
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 48**2, 2, bias=False))
    module[1].weight.data = weights.flatten(1)
    pixels = torch.full((1, 3, 48, 48), 0.2)
    pixels[:, :, 8:24, 8:24] = torch.tensor([0.9, 0.8, 0.1])[:, None, None]
    found = cnnviz.xrai(Network(module, spec=InputSpec(size=48, fixed=True)), pixels, 1, steps=2)[0, 0]
    inside = found[8:24, 8:24]
    assert inside.mean() > 3 * found.mean() and inside.min() > found[30:, 30:].max()


def test_regions_cover_the_image_and_large_ones_are_found_at_224_pixels(squeezenet, samples):
    image = cnnviz.read_image(samples / "coffee.png", 64)
    regions = overlapping_segments(image)
    assert regions.any(0).all() and regions.shape[1:] == image.shape[2:]
    large = torch.nn.functional.interpolate(image, (300, 450))
    found = cnnviz.xrai(squeezenet, large, 504, steps=1)
    assert found.shape == (1, 1, 300, 450) and found.min() < found.max()
