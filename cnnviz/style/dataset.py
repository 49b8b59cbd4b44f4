"""Random crops of photos for training, with color augmentation where photos are few."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from torch import Tensor

from cnnviz.errors import ImageError, UsageError
from cnnviz.imaging.pixel_ops import gaussian_blur, resize
from cnnviz.style.held_out import square

_KEPT_BYTES = 128 << 20
"""Cache of decoded photos: some hundred, which are reused when the folder is small."""

_LARGEST_ZOOM = 2.5
"""Largest shorter side that a photo is resized to, relative to the crop's."""


class CropDataset:
    """Random square crops (N, 3, side, side) of photos, in [0, 1].

    Args:
        photos: files, or pixels (1, 3, H, W) in [0, 1]. A file that cannot be read is not tried again, and its number
            and the reason are in ``skipped``.
        side: of the crops, in pixels.
        augment: change colors, contrast and sharpness too, not only position, scale and orientation; for folders of
            few photos.
        leave_out: numbers of photos that no crop is drawn from; see ``middles``.

    Raises:
        UsageError: there are no photos.
    """

    def __init__(
        self,
        photos: Sequence[Path | str | Tensor],
        side: int,
        augment: bool = True,
        leave_out: Collection[int] = (),
    ) -> None:
        if not photos:
            raise UsageError("Training needs at least one photo.")
        self.photos, self.side, self.augment = list(photos), side, augment
        self._drawn_from = [i for i in range(len(photos)) if i not in leave_out]
        self.skipped: dict[int, str] = {}
        self._kept: OrderedDict[int, Tensor] = OrderedDict()
        self._bytes = 0

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """``count`` random crops, which depend on the generator's state alone; ImageError if no photo can be read."""
        return torch.cat([self._one(generator) for _ in range(count)])

    def middles(self, numbers: Sequence[int]) -> Tensor | None:
        """The middle squares (N, 3, side, side) of the photos with these numbers; None if none of them can be read."""
        found = [photo.float() / 255 for i in numbers if (photo := self._photo(i)) is not None]
        return torch.cat([square(photo, self.side) for photo in found]) if found else None

    def _one(self, generator: torch.Generator) -> Tensor:
        while True:
            chosen = int(torch.randint(len(self._drawn_from), (), generator=generator))
            photo = self._photo(self._drawn_from[chosen])
            if photo is not None:
                break
        crop = _crop(photo, self.side, generator).float() / 255
        crop = resize(crop, (self.side, self.side))
        return random_augment(crop, generator) if self.augment else crop.clamp(0, 1)

    def _photo(self, index: int) -> Tensor | None:
        """Photo ``index`` as uint8 (1, 3, H, W), cached; None if it cannot be read."""
        if index in self.skipped:
            return None
        if index not in self._kept:
            try:
                photo = self._read(index)
            except ImageError as error:
                self._skip(index, error)
                return None
            self._bytes += photo.numel()
            self._kept[index] = photo
            while self._bytes > _KEPT_BYTES and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].numel()
        self._kept.move_to_end(index)
        return self._kept[index]

    def _read(self, index: int) -> Tensor:
        from cnnviz.imaging.image_io import read_image

        found = self.photos[index]
        pixels = found if isinstance(found, Tensor) else read_image(found)
        excess = min(pixels.shape[2:]) / (self.side * _LARGEST_ZOOM)
        if excess > 1:
            height, width = (max(self.side, round(length / excess)) for length in pixels.shape[2:])
            pixels = resize(pixels, (height, width))
        return (pixels.clamp(0, 1) * 255).round().to(torch.uint8)

    def _skip(self, index: int, error: ImageError) -> None:
        self.skipped[index] = str(error)
        if len(self.skipped) == len(self.photos):
            none = f"None of the {len(self.photos)} photos" if len(self.photos) > 1 else "No photo"
            raise ImageError(f"{none} can be read; the last: {error}") from error


def _crop(photo: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """A random square of the photo, as large as its shorter side or smaller, down to ``side`` at the largest zoom."""
    height, width = photo.shape[2:]
    shortest = min(height, width)
    least = min(shortest, max(side / _LARGEST_ZOOM, shortest / _LARGEST_ZOOM))
    extent = round(least * math.exp(_uniform(generator, 0, math.log(shortest / least))))
    top = int(torch.randint(height - extent + 1, (), generator=generator))
    left = int(torch.randint(width - extent + 1, (), generator=generator))
    square = photo[:, :, top : top + extent, left : left + extent]
    return square.flip(3) if _uniform(generator, 0, 1) < 0.5 else square


def random_augment(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Pixels (1, 3, H, W) with random gamma, contrast, brightness, saturation and hue, and sometimes a blur."""
    pixels = pixels.clamp(0, 1).pow(math.exp(_uniform(generator, -0.5, 0.5)))
    gray = pixels.mean(1, keepdim=True)
    angle, saturation = _uniform(generator, -0.6, 0.6), _uniform(generator, 0.3, 1.6)
    if _uniform(generator, 0, 1) < 0.2:
        angle = _uniform(generator, -math.pi, math.pi)
    colors = torch.einsum("oc,nchw->nohw", _hue_rotation(angle), pixels - gray)
    pixels = gray + saturation * colors
    middle = pixels.mean()
    pixels = middle + (pixels - middle) * _uniform(generator, 0.6, 1.4) + _uniform(generator, -0.2, 0.2)
    if _uniform(generator, 0, 1) < 0.25:
        pixels = gaussian_blur(pixels, _uniform(generator, 0.5, 4.0))
    return pixels.clamp(0, 1)


def _hue_rotation(angle: float) -> Tensor:
    """The rotation of RGB about the gray axis, by Rodrigues' formula."""
    axis = 1 / math.sqrt(3)
    cross = torch.tensor([[0, -axis, axis], [axis, 0, -axis], [-axis, axis, 0]])
    return torch.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross)


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
