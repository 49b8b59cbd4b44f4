"""What a picture looks like, small: a thumbnail for sheets and pages, and 32×32 pixels to compare by."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.errors import ImageError
from cnnviz.features.store import Store

_AT_ONCE = 64  # thumbnails taken from the store together

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


class Thumbnails(Sequence[Image.Image]):
    """The thumbnails of some pictures, each read from the store and opened when it is asked for, and not kept.

    Going through them in order asks the store for a few at a time.
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
            self._start = place - place % _AT_ONCE
            self._payloads = self._store.payloads(self._keys[self._start : self._start + _AT_ONCE])
        return open_thumbnail(self._payloads[place - self._start])


def open_thumbnail(data: bytes) -> Image.Image:
    """What ``thumbnail`` made, as a photo."""
    try:
        with Image.open(BytesIO(data)) as picture:
            picture.load()
            return picture
    except Exception as error:
        raise ImageError("A thumbnail in the feature store is damaged; remove the store: it is built again.") from error
