"""The images of ``--grabcut``: the object's mask, the object cut out, and the object outlined on the photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageChops, ImageEnhance, ImageFilter

from cnnviz.imaging.pixels import to_pil_image

if TYPE_CHECKING:
    from torch import Tensor

_OUTLINE = "#ffcc00"
_SATURATION, _BRIGHTNESS = 0.15, 0.4  # of the background in the overlay
_LIGHT, _DARK, _SQUARES = 255, 222, 40  # the gray levels of the checkerboard, and its squares along the longer side


@dataclass(frozen=True)
class CutoutImages:
    """A segmented photo, each image of its size.

    Attributes:
        mask: white where the object is, black elsewhere, mode ``L``.
        cutout: the object on transparent ground, mode ``RGBA``.
        overlay: the photo with its background pale and dark, and a line around the object.
        tile: the object on a checkerboard, for panels.
    """

    mask: Image.Image
    cutout: Image.Image
    overlay: Image.Image
    tile: Image.Image


def cutout_images(photo: Image.Image, mask: Tensor) -> CutoutImages:
    """The images of an object on a photo.

    Args:
        photo: of the size (W, H).
        mask: (H, W), 1 on the object and 0 elsewhere.
    """
    binary = to_pil_image(mask.float())
    soft = _softened(binary)
    cutout = photo.convert("RGB")
    cutout.putalpha(soft)
    tile = Image.composite(photo, _checkerboard(photo.size), soft)
    return CutoutImages(binary, cutout, _overlay(photo, binary, soft), tile)


def _softened(binary: Image.Image) -> Image.Image:
    """The mask with an outline that fades over a pixel or two, in proportion to the photo."""
    return binary.filter(ImageFilter.GaussianBlur(max(0.7, max(binary.size) / 1000)))


def _overlay(photo: Image.Image, binary: Image.Image, soft: Image.Image) -> Image.Image:
    """The photo, its background pale and dark, and a line around the foreground."""
    pale = ImageEnhance.Color(photo.convert("RGB")).enhance(_SATURATION)
    image = Image.composite(photo.convert("RGB"), ImageEnhance.Brightness(pale).enhance(_BRIGHTNESS), soft)
    width = max(1.0, max(photo.size) / 400)
    wide = binary.filter(ImageFilter.GaussianBlur(width)).point(lambda value: 255 if value > 40 else 0)
    line = ImageChops.subtract(wide, binary).filter(ImageFilter.GaussianBlur(0.5))
    image.paste(_OUTLINE, (0, 0), line)
    return image


def _checkerboard(size: tuple[int, int]) -> Image.Image:
    """Light squares, which stand for transparency."""
    width, height = size
    square = max(4, max(size) // _SQUARES)
    odd = (np.arange(height)[:, None] // square + np.arange(width)[None] // square) % 2
    return Image.fromarray(np.where(odd, _DARK, _LIGHT).astype(np.uint8)).convert("RGB")
