"""Thumbnails for figures and pages, and 32×32 pixels as a baseline for comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.errors import ImageError
from cnnviz.features.store import Store

_BLOCK = 64  # thumbnails read from the store at a time

THUMBNAIL = 96
"""The longer side of a thumbnail, in pixels."""

PIXEL_SIDE = 32
PIXEL_WIDTH = PIXEL_SIDE * PIXEL_SIDE * 3
"""The length of the vector of 32×32 RGB pixels, the size of CIFAR-10's images."""


def thumbnail(photo: Image.Image, side: int = THUMBNAIL) -> bytes:
    """A JPEG of the image with ``side`` pixels as its longer side; smaller images keep their size."""
    scale = min(1.0, side / max(photo.size))
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    small = _plain(photo).resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = BytesIO()
    small.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def pixel_vector(photo: Image.Image) -> NDArray[np.uint8]:
    """The whole image resized to 32×32 pixels, as a vector (3072,) uint8, RGB."""
    small = _plain(photo).resize((PIXEL_SIDE, PIXEL_SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(small).reshape(-1)


def _plain(photo: Image.Image) -> Image.Image:
    return photo if photo.mode == "RGB" else photo.convert("RGB")


class Thumbnails(Sequence[Image.Image]):
    """The thumbnails of images in a store, each decoded when it is indexed, and not kept.

    Iterating in order reads them from the store in blocks.
    """

    def __init__(self, store: Store, keys: Sequence[str]) -> None:
        self._store, self._keys = store, keys
        self._start, self._payloads = 0, list[bytes]()

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, which: int) -> Image.Image: ...

    @overload
    def __getitem__(self, which: slice) -> Thumbnails: ...

    def __getitem__(self, which: int | slice) -> Image.Image | Thumbnails:
        if isinstance(which, slice):
            return Thumbnails(self._store, self._keys[which])
        place = range(len(self))[which]
        if not 0 <= place - self._start < len(self._payloads):
            self._start = place - place % _BLOCK
            self._payloads = self._store.payloads(self._keys[self._start : self._start + _BLOCK])
        return open_thumbnail(self._payloads[place - self._start])


def open_thumbnail(data: bytes) -> Image.Image:
    """The image in the bytes that ``thumbnail`` returned."""
    try:
        with Image.open(BytesIO(data)) as picture:
            picture.load()
            return picture
    except Exception as error:
        raise ImageError("A thumbnail in the feature store is damaged; remove the store: it is built again.") from error
