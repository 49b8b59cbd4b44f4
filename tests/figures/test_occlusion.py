"""The figure of occlusion: a pixel for each position if raw, and a legend of the winning classes."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from torch import nn

from cnnviz.attribution.occlusion import OcclusionGrid, winners
from cnnviz.figures.maps import MapStyle
from cnnviz.figures.occlusion import occlusion_figure, winning_classes
from cnnviz.network.network import Network

PHOTO = Image.new("RGB", (90, 60), "white")
LABELS = {index: f"class {index}" for index in range(10)}


def grid(classes: torch.Tensor) -> OcclusionGrid:
    tops, lefts = torch.arange(0, 12, 4), torch.arange(0, 16, 4)
    drops = torch.arange(12.0).reshape(3, 4) / 12
    return OcclusionGrid(tops, lefts, 4, drops, classes, 0.9, 5)


def test_a_raw_map_has_a_pixel_for_each_position():
    image = occlusion_figure(grid(torch.full((3, 4), 5)), PHOTO, (12, 16), MapStyle("raw"), "", "logit", LABELS)
    assert (image.mode, image.size) == ("L", (4, 3))


def test_a_panel_shows_the_winning_classes_if_there_are_several():
    one, two = torch.full((3, 4), 5), torch.tensor([[5, 5, 5, 5], [5, 5, 5, 5], [5, 5, 5, 7]])
    width = [
        occlusion_figure(grid(classes), PHOTO, (12, 16), MapStyle(), "", "logit", LABELS, class_map=asked).width
        for classes, asked in ((one, False), (one, True), (two, False))
    ]
    assert width[0] < width[1] == width[2]
    of_values = occlusion_figure(grid(two), PHOTO, (12, 16), MapStyle(), "", "value", LABELS, wins=False)
    assert of_values.width == width[0]


def test_the_only_class_of_a_sigmoid_wins_where_it_is_likely():
    logits = torch.tensor([[2.0], [-1.0]])
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 36, 1))
    assert winners(Network(module, size=6), logits).tolist() == [0, 1]
    assert winners(Network(module, size=6, activation="none"), logits).tolist() == [0, 0]


def test_the_most_frequent_class_is_blue_and_only_six_have_a_color():
    classes = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7, 7]])
    image, legend = winning_classes(classes, PHOTO, LABELS)
    assert legend.startswith("blue: class 7; orange: class 0; ")
    assert legend.count("class") == 6
    red, green, blue = image.getpixel((89, 0))
    assert (red, green, blue) == pytest.approx(((255 + 31) / 2, (255 + 119) / 2, (255 + 180) / 2), abs=1)
    assert image.getpixel((55, 30)) == pytest.approx((191, 191, 191), abs=1)
