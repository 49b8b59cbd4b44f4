"""Perturbations as images: magnified to about half the range of pixel values, about mid-gray."""

from __future__ import annotations

import torch
from PIL import Image

from cnnviz.figures.fooling import (
    fooling_panel,
    magnification,
    perturbation_image,
    perturbed_panel,
    universal_panel,
)

PHOTO = Image.new("RGB", (64, 64), "teal")


def test_the_magnification_is_a_whole_number_of_at_least_one():
    assert [magnification(largest) for largest in (2 / 255, 0.1, 0.5, 0.9, 0.0)] == [63, 5, 1, 1, 1]


def test_no_change_is_mid_gray():
    change = torch.zeros(1, 3, 2, 2)
    change[0, 0, 0, 0], change[0, 2, 1, 1] = 0.1, -0.1
    image = perturbation_image(change, magnification(0.1))
    assert image.getpixel((1, 0)) == (128, 128, 128)
    assert image.getpixel((0, 0)) == (255, 128, 128)
    assert image.getpixel((1, 1)) == (128, 128, 0)


def test_panels_hold_all_their_tiles():
    change = torch.full((1, 3, 64, 64), 0.1)
    example = torch.full((1, 3, 64, 64), 0.5)
    three = fooling_panel(PHOTO, change, PHOTO, 0.1, "cat", "dog", "title")
    two = perturbed_panel(PHOTO, PHOTO, "cat", "dog")
    assert 3 * 256 < three.width < 4 * 256
    assert 2 * 256 < two.width < 3 * 256
    assert 4 * 300 < universal_panel(change, [example] * 3, ["a", "b", "c"], "title").width < 5 * 300
