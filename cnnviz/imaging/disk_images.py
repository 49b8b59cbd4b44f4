"""Images of one size kept as bytes in a temporary file, so that memory does not grow with their number."""

from __future__ import annotations

import tempfile
from copy import copy

import numpy as np
import torch
from torch import Tensor

from cnnviz.errors import ImageError


class DiskImages:
    """Images of one size, of 8 bits each, in a temporary file; indexed by a slice or indices (K,) they are pixels.

    The file has no name and is deleted with the process (``TMPDIR`` says where it lies). ``subset`` gives some of the
    images without copying them; only the whole can be appended to.

    Args:
        height, width: Of every image, in pixels.

    Raises ImageError if there is no folder for temporary files.
    """

    def __init__(self, height: int, width: int) -> None:
        self._size = (height, width)
        self._bytes = 3 * height * width
        self._rows: list[int] = []
        try:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the last object that reads it)
        except OSError as error:
            raise ImageError(f"There is no folder for temporary files: {error.strerror}.") from error

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), 3, *self._size))

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, pixels: Tensor) -> None:
        """Write images (N, 3, H, W) in [0, 1], rounded to 8 bits; ImageError if the disk is full."""
        values = (pixels.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
        first = len(self)
        try:
            self._file.seek(first * self._bytes)
            self._file.write(values.numpy().tobytes())
        except OSError as error:
            where = tempfile.gettempdir()
            raise ImageError(f"The images cannot be kept in '{where}': {error.strerror}.") from error
        self._rows += range(first, first + len(values))

    def __getitem__(self, which: slice | Tensor) -> Tensor:
        """The selected images (K, 3, H, W), float32 in [0, 1], in that order."""
        wanted = self._rows[which] if isinstance(which, slice) else [self._rows[n] for n in which.tolist()]
        found = np.empty((len(wanted), self._bytes), np.uint8)
        for row, index in zip(found, wanted, strict=True):
            self._file.seek(index * self._bytes)
            self._file.readinto(row)  # type: ignore[attr-defined,arg-type]
        return torch.from_numpy(found).view(-1, 3, *self._size).float() / 255

    def subset(self, order: Tensor) -> DiskImages:
        """The images of those indices, in that order; the file is shared."""
        some = copy(self)
        some._rows = [self._rows[n] for n in order.tolist()]
        return some
