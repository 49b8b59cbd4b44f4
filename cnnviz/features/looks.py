"""What a picture looks like, small: a thumbnail for sheets and pages, and 32×32 pixels to compare by."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THUMBNAIL = 96
"""The longer side of a thumbnail, in pixels."""

PIXEL_SIDE = 32
PIXEL_WIDTH = PIXEL_SIDE * PIXEL_SIDE * 3
"""Length of the vector of a picture's 32×32 pixels: the size of CIFAR-10's pictures, on which courses compare the
nearest neighbours of pixels."""


def thumbnail(photo: Image.Image, side: int = THUMBNAIL) -> bytes:
    """The photo with ``side`` as its longer side, as the bytes of a JPEG; smaller photos keep their size."""
    scale = min(1.0, side / max(photo.size))
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    small = _plain(photo).resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = BytesIO()
    small.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def pixel_vector(photo: Image.Image) -> NDArray[np.uint8]:
    """The whole photo squeezed into 32×32 pixels, as a vector (3072,), RGB in 0..255."""
    small = _plain(photo).resize((PIXEL_SIDE, PIXEL_SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(small).reshape(-1)


def _plain(photo: Image.Image) -> Image.Image:
    return photo if photo.mode == "RGB" else photo.convert("RGB")


def open_thumbnail(data: bytes) -> Image.Image:
    """What ``thumbnail`` made, as a photo."""
    with Image.open(BytesIO(data)) as picture:
        picture.load()
        return picture
