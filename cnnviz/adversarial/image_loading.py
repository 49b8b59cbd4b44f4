"""The steps between an image and what the network sees of its file: rounding to 8 bits, JPEG, resizing, cropping.

An attack without them fools the network with a tensor but not with a file. ``ImagePipeline.load`` computes these steps,
``ImagePipeline.differentiable`` the same with a gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import torch
from PIL import Image
from torch import Tensor

from cnnviz.imaging.encoding import QUALITY, encode, format_of, is_lossless
from cnnviz.imaging.image_io import read_pil_image
from cnnviz.imaging.pixel_ops import resize
from cnnviz.imaging.pixels import Crop, crop_box, resized_shape, resolve_crop, to_pil_image, to_pixels

Size = int | tuple[int, int]


@dataclass(frozen=True)
class ImagePipeline:
    """How the network gets to see a photo.

    ``size``, ``crop``: as ``to_pixels`` takes them (the shorter side, or height and width; the central square
    only); ``jpeg``: the quality with which somebody saves it as JPEG afterwards, 1 to 100, None if nobody does;
    ``format``: the extension of the file it is written to. A ``.jpg`` is written with the quality of ``jpeg``.
    """

    size: Size
    crop: bool | Crop = False
    jpeg: int | None = None
    format: str = ".png"

    @property
    def is_lossless(self) -> bool:
        """Whether the file holds the photo to the last bit."""
        return is_lossless(self.format)

    @property
    def quality(self) -> int:
        """What the file is written with, where its format has a quality."""
        return QUALITY if self.jpeg is None or not self._is_jpeg else self.jpeg

    @property
    def _is_jpeg(self) -> bool:
        return format_of(f"photo{self.format}") == "JPEG"

    def preprocess(self, photo: Image.Image) -> Tensor:
        """What the network sees of a photo as it is: pixels (1, 3, h, w)."""
        return to_pixels(photo, self.size, self.crop)

    def load(self, photo: Image.Image) -> Tensor:
        """What the network sees of a photo that was saved and read: pixels (1, 3, h, w)."""
        return self.preprocess(self.saved(photo))

    def load_each(self, photo: Image.Image) -> Iterator[Tensor]:
        """What the network sees of the photo's file, and of what others save of it, if they do."""
        file = self.roundtrip(photo)
        yield self.preprocess(file)
        if self.jpeg is not None and not self._is_jpeg:
            yield self.preprocess(_as_jpeg(file, self.jpeg))

    def roundtrip(self, photo: Image.Image) -> Image.Image:
        """The photo as it is read from the file it is written to."""
        if self.is_lossless:
            return photo
        content = encode(photo, self.format, quality=self.quality)
        return read_pil_image(content, max_pixels=photo.width * photo.height)

    def saved(self, photo: Image.Image) -> Image.Image:
        """The photo after all that happens to it: it is written, and perhaps saved as JPEG by others."""
        file = self.roundtrip(photo)
        return file if self.jpeg is None or self._is_jpeg else _as_jpeg(file, self.jpeg)

    def differentiable(self, pixels: Tensor) -> Tensor:
        """What the network will see of pixels (1, 3, H, W) once they are a file, with a gradient.

        Forward it is the reading path itself, 8-bit rounding and all encoding included; backward it is the resize and
        crop alone, as if the rest were the identity: the straight-through gradient of Athalye, Carlini & Wagner,
        "Obfuscated Gradients Give a False Sense of Security", ICML 2018, arXiv:1802.00420 (their BPDA).
        """
        smooth = self.resize_and_crop(pixels)
        with torch.no_grad():
            real = self.load(to_pil_image(pixels.detach())).to(pixels)
        return smooth + (real - smooth).detach()

    def resize_and_crop(self, pixels: Tensor) -> Tensor:
        """The resize and crop alone, without rounding or JPEG; differs from PIL's by under 1/255."""
        height, width = pixels.shape[2:]
        if not self.crop:
            target = resized_shape(_Shape(width, height), self.size)  # type: ignore[arg-type]
            return resize(pixels, target)
        crop = resolve_crop(self.size, self.crop)
        wide, high, left, top = crop_box(width, height, crop)
        resized = resize(pixels, (high, wide), crop.interpolation)
        return resized[:, :, top : top + crop.size, left : left + crop.size]


def _as_jpeg(photo: Image.Image, quality: int) -> Image.Image:
    """The photo encoded as Pillow encodes JPEG by default, with chroma at half the resolution."""
    file = BytesIO()
    photo.save(file, "JPEG", quality=quality)
    return Image.open(BytesIO(file.getvalue())).convert("RGB")


@dataclass(frozen=True)
class _Shape:
    """The width and height of a photo that is not one yet."""

    width: int
    height: int

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height
