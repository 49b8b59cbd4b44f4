"""Pictures of one size kept as bytes in a temporary file, so that memory does not grow with their number."""

from __future__ import annotations

import tempfile

import numpy as np
import torch
from torch import Tensor

from cnnviz.errors import ImageError


class DiskImages:
    """Many pictures (N, 3, H, W) of 8 bits: taken by a slice or by indices (K,), they come as pixels in [0, 1].

    The file has no name and goes with the process (``TMPDIR`` says where). ``subset`` gives some of the pictures
    without copying them; only a whole shelf can be added to.
    """

    def __init__(self, height: int, width: int) -> None:
        self._size = (height, width)
        self._bytes = 3 * height * width
        self._places: list[int] = []
        try:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the last shelf that needs it)
        except OSError as error:
            raise ImageError(f"There is no folder for temporary files: {error.strerror}.") from error

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), 3, *self._size))

    def __len__(self) -> int:
        return len(self._places)

    def append(self, pixels: Tensor) -> None:
        """Keep pictures (N, 3, H, W) in [0, 1], rounded to 8 bits. ImageError where the disk has no room for them."""
        values = (pixels.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
        place = len(self)
        try:
            self._file.seek(place * self._bytes)
            self._file.write(values.numpy().tobytes())
        except OSError as error:
            where = tempfile.gettempdir()
            raise ImageError(f"The pictures cannot be kept in '{where}': {error.strerror}.") from error
        self._places += range(place, place + len(values))

    def __getitem__(self, which: slice | Tensor) -> Tensor:
        """The pictures meant, (K, 3, H, W) float32 in [0, 1], in that order."""
        wanted = self._places[which] if isinstance(which, slice) else [self._places[n] for n in which.tolist()]
        found = np.empty((len(wanted), self._bytes), np.uint8)
        for row, place in zip(found, wanted, strict=True):
            self._file.seek(place * self._bytes)
            self._file.readinto(row)  # type: ignore[attr-defined,arg-type]
        return torch.from_numpy(found).view(-1, 3, *self._size).float() / 255

    def subset(self, order: Tensor) -> DiskImages:
        """Those pictures alone, in that order."""
        some = object.__new__(DiskImages)
        some.__dict__ = {**self.__dict__, "_places": [self._places[n] for n in order.tolist()]}
        return some
