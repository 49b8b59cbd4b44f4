"""Sheets of feature maps and kernels: scales, sizes and how many there are."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from cnnviz.features.activations import ActivationGrid
from cnnviz.features.filters import FilterGrid
from cnnviz.figures.activations import activation_image, activation_overlays, activation_tiles
from cnnviz.figures.filters import filter_sheet

PHOTO = Image.new("RGB", (90, 60), "gray")


def activations(maps: torch.Tensor) -> ActivationGrid:
    magnitudes = maps.abs()
    strengths = magnitudes.mean(dim=(1, 2))
    return ActivationGrid("layer", maps, strengths, strengths.argsort(descending=True), magnitudes.mean(dim=0))


def test_zero_is_black_or_with_signs_mid_gray():
    plain = np.asarray(activation_image(torch.tensor([[0.0, 2.0, 4.0]]), signed=False).convert("L"))
    signed = np.asarray(activation_image(torch.tensor([[0.0, -4.0, 4.0]]), signed=True).convert("L"))
    assert plain.tolist() == [[0, 128, 255]]
    assert signed.tolist() == [[128, 0, 255]]
    assert not np.asarray(activation_image(torch.zeros(2, 2), signed=False)).any()
    weak = activation_image(torch.tensor([[1.0]]), signed=False, maximum=torch.tensor(2.0))
    assert weak.convert("L").getpixel((0, 0)) == 128


def test_a_shared_scale_makes_weak_channels_dark():
    maps = torch.stack([torch.full((3, 4), 1.0), torch.full((3, 4), 0.25)])
    own = activation_tiles(activations(maps), [0, 1], PHOTO, "title")
    shared = activation_tiles(activations(maps), [0, 1], PHOTO, "title", shared_scale=True)
    assert own.size == shared.size
    assert np.asarray(shared).mean() < np.asarray(own).mean()


def test_overlays_stand_three_in_a_row():
    maps = torch.rand(4, 3, 4, generator=torch.Generator().manual_seed(0))
    three, four = (activation_overlays(activations(maps), list(range(n)), PHOTO, "title") for n in (3, 4))
    assert three.width == four.width
    assert four.height > three.height + 200


def test_kernels_in_color_are_all_shown_and_others_up_to_the_limit():
    color = FilterGrid("conv1", (9, 3, 3, 3), torch.rand(9, 3, 3, 3), True)
    gray = FilterGrid("conv2", (9, 8, 3, 3), torch.rand(9, 8, 3, 3), False)
    assert filter_sheet(color, "title", 1).size == filter_sheet(color, "title", 99).size
    assert filter_sheet(gray, "title", 4).width < filter_sheet(gray, "title", 8).width
    assert filter_sheet(gray, "title", 8).width < 8 * 36 + 9 * 4 + 120
