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

from cnnviz.imaging.bands import Bands, Decoded
from cnnviz.imaging.decoding import read_pil_image
from cnnviz.imaging.encoding import QUALITY, encode, format_of, is_lossless
from cnnviz.imaging.pixel_ops import resize
from cnnviz.imaging.pixels import Crop, crop_box, resized_shape, resolve_crop, to_pil_image, to_pixels

Size = int | tuple[int, int]


@dataclass(frozen=True)
class ImagePipeline:
    """How an image is written to a file, read back, and preprocessed for the network.

    Attributes:
        size: as of ``to_pixels``: the shorter side, or height and width, in pixels.
        crop: as of ``to_pixels``: whether only the central square is used.
        jpeg: the quality (1 to 100) at which the file is saved as JPEG afterwards; None if it is not. A ``.jpg`` is
            written with it.
        format: the extension of the file.
        alpha: whether transparency is a fourth channel that the network sees.
    """

    size: Size
    crop: bool | Crop = False
    jpeg: int | None = None
    format: str = ".png"
    alpha: bool = False

    @property
    def is_lossless(self) -> bool:
        """Whether the file holds the image exactly."""
        return is_lossless(self.format)

    @property
    def quality(self) -> int:
        """The quality the file is written with, where its format has one."""
        return QUALITY if self.jpeg is None or not self._is_jpeg else self.jpeg

    @property
    def _is_jpeg(self) -> bool:
        return format_of(f"photo{self.format}") == "JPEG"

    def pixels(self, image: Image.Image) -> Tensor:
        """All pixels (1, C, H, W) of an image, at its own resolution."""
        return to_pixels(self._decoded(image))

    def preprocess(self, image: Image.Image) -> Tensor:
        """The pixels (1, C, h, w) that the network sees of an image, without writing it."""
        return to_pixels(self._decoded(image), self.size, self.crop)

    def _decoded(self, image: Image.Image) -> Decoded:
        return Bands.of_rgba(image) if self.alpha else image

    def load(self, image: Image.Image) -> Tensor:
        """The pixels (1, C, h, w) that the network sees of an image that was written and read back."""
        return self.preprocess(self.saved(image))

    def load_each(self, image: Image.Image) -> Iterator[Tensor]:
        """The pixels that the network sees of the image's file, and then of its JPEG copy if ``jpeg`` is set."""
        file = self.roundtrip(image)
        yield self.preprocess(file)
        if self.jpeg is not None and not self._is_jpeg:
            yield self.preprocess(_as_jpeg(file, self.jpeg))

    def roundtrip(self, image: Image.Image) -> Image.Image:
        """The image as it is read back from its file."""
        if self.is_lossless:
            return image
        content = encode(image, self.format, quality=self.quality)
        return read_pil_image(content, max_pixels=image.width * image.height)

    def saved(self, image: Image.Image) -> Image.Image:
        """The image after it is written and, if ``jpeg`` is set, saved as JPEG."""
        file = self.roundtrip(image)
        return file if self.jpeg is None or self._is_jpeg else _as_jpeg(file, self.jpeg)

    def differentiable(self, pixels: Tensor) -> Tensor:
        """``load`` of pixels (1, C, H, W), with a gradient.

        The forward pass is ``load`` itself, with 8-bit rounding and encoding; the backward pass is the resize and crop
        alone, as if the rest were the identity: the straight-through gradient of Athalye, Carlini & Wagner,
        "Obfuscated Gradients Give a False Sense of Security", ICML 2018, arXiv:1802.00420 (their BPDA).
        """
        smooth = self.resize_and_crop(pixels)
        with torch.no_grad():
            real = self.load(to_pil_image(pixels.detach())).to(pixels)
        return smooth + (real - smooth).detach()

    def resize_and_crop(self, pixels: Tensor) -> Tensor:
        """The resize and crop alone, without rounding or JPEG; differs from Pillow's by less than 1/255."""
        height, width = pixels.shape[2:]
        if not self.crop:
            target = resized_shape(_Shape(width, height), self.size)  # type: ignore[arg-type]
            return resize(pixels, target)
        crop = resolve_crop(self.size, self.crop)
        wide, high, left, top = crop_box(width, height, crop)
        resized = resize(pixels, (high, wide), crop.interpolation)
        return resized[:, :, top : top + crop.size, left : left + crop.size]


def _as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    """The image after JPEG encoding with Pillow's defaults, chroma at half the resolution."""
    file = BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(BytesIO(file.getvalue())).convert("RGB")


@dataclass(frozen=True)
class _Shape:
    """The width and height of an image."""

    width: int
    height: int

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height
