"""What lies between a photo's file and the network: rounding to 8 bits, JPEG, resizing, cropping.

An attack that forgets these fools a tensor, not a file. ``Reading`` is the reading path itself, and ``through`` the
same path as a function with a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from cnnviz.imaging.pixels import Crop, crop_of, place_of_crop, planned_size, to_photo, to_pixels

Size = int | tuple[int, int]


@dataclass(frozen=True)
class Reading:
    """How the network gets to see a photo.

    ``size``, ``crop``: as ``cnnviz.imaging.to_pixels`` takes them (the shorter side, or height and width; the central
    square only); ``jpeg``: the quality it is saved with on the way, 1 to 100, None for a lossless format.
    """

    size: Size
    crop: bool | Crop = False
    jpeg: int | None = None

    def seen(self, photo: Image.Image) -> Tensor:
        """What the network sees of a photo that was saved and read: pixels (1, 3, h, w)."""
        return to_pixels(self.saved(photo), self.size, self.crop)

    def saved(self, photo: Image.Image) -> Image.Image:
        """The photo after it was saved and opened again."""
        if self.jpeg is None:
            return photo
        file = BytesIO()
        photo.save(file, "JPEG", quality=self.jpeg)
        return Image.open(BytesIO(file.getvalue())).convert("RGB")

    def through(self, pixels: Tensor) -> Tensor:
        """What the network will see of pixels (1, 3, H, W) once they are a file, with a gradient.

        Forward it is the reading path itself, 8-bit rounding and JPEG included; backward it is the resize and crop
        alone, as if the rest were the identity: the straight-through gradient of Athalye, Carlini & Wagner,
        "Obfuscated Gradients Give a False Sense of Security", ICML 2018, arXiv:1802.00420 (their BPDA).
        """
        smooth = self.smooth(pixels)
        with torch.no_grad():
            real = self.seen(to_photo(pixels.detach())).to(pixels)
        return smooth + (real - smooth).detach()

    def smooth(self, pixels: Tensor) -> Tensor:
        """The resize and crop alone, without rounding or JPEG; differs from PIL's by under 1/255."""
        height, width = pixels.shape[2:]
        if not self.crop:
            target = planned_size(_Shape(width, height), self.size)  # type: ignore[arg-type]
            return _resize(pixels, target)
        crop = crop_of(self.size, self.crop)
        wide, high, left, top = place_of_crop(width, height, crop)
        resized = _resize(pixels, (high, wide), crop.interpolation)
        return resized[:, :, top : top + crop.size, left : left + crop.size]


@dataclass(frozen=True)
class _Shape:
    """The width and height of a photo that is not one yet."""

    width: int
    height: int

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height


def _resize(pixels: Tensor, size: tuple[int, int], interpolation: str = "bilinear") -> Tensor:
    if tuple(pixels.shape[2:]) == size:
        return pixels
    return F.interpolate(pixels, size=size, mode=interpolation, antialias=True)
