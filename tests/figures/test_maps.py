"""Attribution maps as images: each view's size, colors and tiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz.figures.heatmap import overlay
from cnnviz.figures.maps import MapStyle

PHOTO = Image.new("RGB", (90, 60), (40, 90, 200))


def spot(value: float = 1.0) -> torch.Tensor:
    """A map (1, 1, 8, 12) of zeros with one value."""
    attribution = torch.zeros(1, 1, 8, 12)
    attribution[0, 0, 2, 3] = value
    return attribution


def test_a_raw_map_has_a_gray_pixel_for_each_value():
    image = MapStyle("raw").draw(spot(), PHOTO)
    assert (image.mode, image.size) == ("L", (12, 8))
    assert image.getpixel((3, 2)) == 255
    assert np.asarray(image).sum() == 255


def test_heat_and_overlay_have_the_photos_size():
    for view in ("heat", "overlay"):
        assert MapStyle(view).draw(spot(), PHOTO).size == PHOTO.size
    laid = MapStyle("overlay", percentile=100.0).draw(spot(), PHOTO)
    assert np.array_equal(laid, overlay(PHOTO, spot()[0, 0].numpy(), percentile=100.0))


def test_a_signed_map_shows_negative_values():
    plain, signed = (MapStyle("heat", signed=signed).draw(spot(-1.0), PHOTO) for signed in (False, True))
    assert len(np.unique(np.asarray(plain).reshape(-1, 3), axis=0)) == 1
    red, _, blue = signed.getpixel((26, 18))
    assert blue > red


def test_only_the_overlay_is_smoothed_unless_a_blur_is_chosen():
    usual, smoothed = MapStyle("heat", overlay_blur=2.0), MapStyle("heat", blur=2.0)
    sharp = MapStyle("heat").draw(spot(), PHOTO)
    assert np.array_equal(usual.draw(spot(), PHOTO), sharp)
    assert not np.array_equal(smoothed.draw(spot(), PHOTO), sharp)
    over = MapStyle("overlay", overlay_blur=2.0).draw(spot(), PHOTO)
    assert np.array_equal(over, MapStyle("overlay", blur=2.0).draw(spot(), PHOTO))


def test_a_panel_ends_with_the_extra_tiles():
    plain = MapStyle().draw(spot(), PHOTO, "title", "map")
    more = MapStyle().draw(spot(), PHOTO, "title", "map", [(PHOTO, "again")])
    assert more.height == plain.height
    assert more.width > plain.width


@pytest.mark.parametrize("colormap", [None, "viridis"])
def test_an_image_in_its_own_colors_replaces_the_heat_unless_a_colormap_is_chosen(colormap):
    own = Image.new("RGB", PHOTO.size, (1, 2, 3))
    image = MapStyle("heat", colormap).draw(spot(), PHOTO, colored=own)
    assert (image is own) == (colormap is None)
