"""Gradient images: zero is mid-gray, windows are framed where they lie."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from cnnviz.figures.guided import gradient_image, gradient_in_window, guided_panel, outline_window


def test_zero_is_mid_gray_and_the_largest_magnitude_full():
    gradient = torch.zeros(3, 4, 6)
    gradient[0, 1, 2], gradient[2, 3, 5] = 2.0, -2.0
    image = gradient_image(gradient, 100.0, (6, 4))
    assert image.getpixel((0, 0)) == (128, 128, 128)
    assert image.getpixel((2, 1)) == (255, 128, 128)
    assert image.getpixel((5, 3)) == (128, 128, 0)
    assert gradient_image(torch.zeros(3, 4, 6), 99.5, (12, 8)).getextrema() == ((128, 128),) * 3


def test_outside_the_window_is_mid_gray():
    image = gradient_in_window(torch.ones(3, 8, 8), (-2, 3, 4, 6), 100.0)
    colored = (np.asarray(image) != 128).any(axis=2)
    assert colored.nonzero()[0].tolist() == [row for row in range(4) for _ in range(3)]
    assert set(colored.nonzero()[1].tolist()) == {3, 4, 5}


def test_a_window_is_framed_at_the_photos_own_resolution():
    photo = Image.new("RGB", (200, 100), "black")
    framed = np.asarray(outline_window(photo, (10, 20, 30, 40), (50, 100))).any(axis=2)
    rows, columns = framed.nonzero()
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 59, 40, 79)
    assert not framed[40, 60]
    assert not np.asarray(photo).any()


def test_the_panel_holds_photo_and_gradient():
    photo = Image.new("RGB", (300, 300), "red")
    panel = guided_panel(photo, Image.new("RGB", (300, 300), "blue"), "deconvnet", "title")
    colors = {color for _, color in panel.getcolors(1 << 20)}
    assert {(255, 0, 0), (0, 0, 255)} <= colors
