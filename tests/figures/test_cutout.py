"""The images of a cut-out: transparent outside the mask, pale and dark there in the overlay."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from cnnviz.figures.cutout import cutout_images

PHOTO = Image.new("RGB", (60, 40), (200, 60, 60))


def test_the_object_is_kept_and_the_ground_is_not():
    mask = torch.zeros(40, 60)
    mask[10:30, 15:45] = 1
    images = cutout_images(PHOTO, mask)
    assert np.array_equal(np.asarray(images.mask) > 127, mask.bool().numpy())
    alpha = images.cutout.getchannel("A")
    assert (alpha.getpixel((30, 20)), alpha.getpixel((2, 2))) == (255, 0)
    for image in (images.overlay, images.tile):
        assert image.size == PHOTO.size
        assert image.getpixel((30, 20)) == PHOTO.getpixel((0, 0))
    assert max(images.overlay.getpixel((2, 2))) < 100
    assert images.tile.getpixel((0, 0)) == (255, 255, 255)
    assert images.tile.getpixel((4, 0)) == (222, 222, 222)
