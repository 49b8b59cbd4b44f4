"""Between photos (``PIL.Image``) and pixels (tensors of floats in [0, 1])."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.errors import UsageError
from cnnviz.imaging.checks import range_problem

if TYPE_CHECKING:
    from torch import Tensor

_MAX_ASPECT = 4  # a longer side is at most this many times the size asked for
_MOST_PIXELS = 2**24  # up to so many a photo is resized whole before its middle is cut out
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class Crop:
    """The central square that the accuracy of a network was measured on, as in torchvision.

    The shorter side becomes ``resize`` pixels by ``interpolation`` (``bilinear`` or ``bicubic``, antialiased); then
    the square of ``size`` in the middle is cut out. Raises UsageError where that cannot be.
    """

    size: int = 224
    resize: int = 256
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if self.interpolation not in _FILTERS:
            raise UsageError(f"Pictures are resized by {' or '.join(_FILTERS)}, not by '{self.interpolation}'.")
        if not 1 <= self.size <= self.resize:
            raise UsageError(
                f"A square of {self.size} pixels cannot be cut out of a picture with a shorter side of {self.resize}."
            )

    def at(self, size: int) -> Crop:
        """The same part of a picture at another size."""
        return replace(self, size=size, resize=max(size, round(size * self.resize / self.size)))


def to_pixels(photo: Image.Image, size: int | tuple[int, int] | None = None, crop: bool | Crop = False) -> Tensor:
    """A photo as pixels (1, 3, H, W), float32 in [0, 1], resized with an antialiased bilinear filter.

    Args:
        photo: The photo, of any mode that converts to RGB.
        size: None keeps the size. A number becomes the shorter side; the shape is kept, but the longer side
            never exceeds four times the number, so that a narrow strip stays affordable. A pair (H, W) is met
            exactly.
        crop: With a number: only the central square, as the accuracy of ImageNet networks is measured. True:
            the shorter side becomes ``size * 256 / 224``, and the square of ``size`` in the middle is cut out. A
            ``Crop``, such as ``network.spec.crop``: as it says, at its own size if ``size`` is None.

    Raises UsageError if a size is not positive, or if ``crop`` is True without a single size.
    """
    import torch

    resized = _resize(photo.convert("RGB"), size, crop)
    samples = torch.from_numpy(np.array(resized)).permute(2, 0, 1)
    return samples[None].contiguous().float() / 255


def resized_shape(photo: Image.Image, size: int | tuple[int, int], crop: bool | Crop = False) -> tuple[int, int]:
    """Height and width that ``to_pixels`` will give a photo, without doing it."""
    if isinstance(size, tuple):
        return size
    return (size, size) if crop else _fit(photo, size)


def resolve_crop(size: int | tuple[int, int] | None, crop: bool | Crop) -> Crop:
    """What ``size`` and ``crop`` of ``to_pixels`` mean together."""
    plan = crop if isinstance(crop, Crop) else Crop()
    if size is None and plan is crop:
        return plan
    if not isinstance(size, int):
        raise UsageError("A crop needs one size, the side of its square.")
    return plan.at(_positive(size))


def _resize(photo: Image.Image, size: int | tuple[int, int] | None, crop: bool | Crop) -> Image.Image:
    if crop:
        return _center_crop(photo, resolve_crop(size, crop))
    if size is None:
        return photo
    height, width = size if isinstance(size, tuple) else _fit(photo, _positive(size))
    return _resampled(photo, (_positive(width), _positive(height)))


def _resampled(photo: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A photo at (width, height); strips of millions of pixels, whose filter has no room in Pillow, in two goes."""
    try:
        return photo.resize(size, Image.Resampling.BILINEAR)
    except MemoryError:
        return photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)


def _fit(photo: Image.Image, size: int) -> tuple[int, int]:
    """Height and width with ``size`` as the shorter side, rounded as by torchvision, strips bounded."""
    short, long = sorted(photo.size)
    near, far = size, size * long // short
    if far > _MAX_ASPECT * size:
        far = _MAX_ASPECT * size
        near = max(1, round(far * short / long))
    return (near, far) if photo.width >= photo.height else (far, near)


def crop_box(width: int, height: int, crop: Crop) -> tuple[int, int, int, int]:
    """Width and height that a picture is resized to, and left and top of the square in that, rounded as by torchvision.

    torchvision pads what is smaller than the square, which the ``Crop`` rules out.
    """
    least = min(width, height)
    wide, high = (crop.resize if side == least else int(crop.resize * side / least) for side in (width, height))
    return wide, high, round((wide - crop.size) / 2.0), round((high - crop.size) / 2.0)


def _center_crop(photo: Image.Image, crop: Crop) -> Image.Image:
    """Resize, then cut, bit for bit as torchvision; of an endless strip only the square is ever computed."""
    width, height, left, top = crop_box(*photo.size, crop)
    size, kind = crop.size, _FILTERS[crop.interpolation]
    if width * height <= _MOST_PIXELS:
        return photo.resize((width, height), kind).crop((left, top, left + size, top + size))
    across, down = photo.width / width, photo.height / height
    box = (left * across, top * down, (left + size) * across, (top + size) * down)
    return photo.resize((size, size), kind, box=box)


def center_square(photo: Image.Image, crop: Crop = Crop()) -> Image.Image:
    """The part of a photo that ``to_pixels`` shows the network with ``crop``, at its own resolution."""
    side = max(1, round(min(photo.size) * crop.size / crop.resize))
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    box = (left, top, left + side, top + side)
    return photo.resize((side, side), Image.Resampling.NEAREST, box=box)  # crop() would mistake a huge one for a bomb


def _positive(size: int) -> int:
    if size < 1:
        raise UsageError(f"A size must be a positive number of pixels, not {size}.")
    return size


def to_array(values: Any) -> NDArray[Any]:
    """A tensor (on any device, of any dtype, with or without gradient) or array-like as a numpy array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if values.is_floating_point():
            values = values.float()
        values = values.numpy()
    return np.asarray(values)


def to_pil_image(pixels: Any, *, clamp: bool = False) -> Image.Image:
    """Pixels as a photo of eight bits, rounded to nearest; gray (mode ``L``) where there is one channel.

    Args:
        pixels: A tensor or array of floats in [0, 1]: (1, 3, H, W), (3, H, W), (1, 1, H, W), (1, H, W) or (H, W). An
            array of uint8 in HWC (or HW) order passes as it is.
        clamp: Cut values outside [0, 1] off, and take NaN as 0, instead of refusing them.

    Raises UsageError if the shape is none of these, or values are outside [0, 1] by more than half a level, NaN, or
    integers.
    """
    array = to_array(pixels)
    if array.dtype == np.uint8:
        layout = array
    else:
        layout = _channels_last(array)
        if not clamp:
            _require_range(layout)
        layout = np.rint(np.clip(np.nan_to_num(layout), 0, 1) * 255).astype(np.uint8)
    if layout.ndim not in {2, 3} or (layout.ndim == 3 and layout.shape[2] not in {3, 4}) or 0 in layout.shape:
        raise UsageError(f"Pixels of the shape {tuple(array.shape)} are no picture; (1, 3, H, W) is.")
    return Image.fromarray(np.ascontiguousarray(layout))


def _require_range(values: NDArray[Any]) -> None:
    if values.dtype.kind not in "fb":
        raise UsageError(
            f"Pixels to be written are floats in [0, 1], or uint8 in the order (H, W, 3), not {values.dtype}."
        )
    if values.size == 0:
        return
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UsageError("Pixels to be written hold NaN or infinite values.")
    outside = range_problem(low, high, "Pixels to be written")
    if outside:
        raise UsageError(outside)


def _channels_last(array: NDArray[Any]) -> NDArray[Any]:
    """(1, C, H, W) or (C, H, W) as (H, W, C), without the channel axis where there is but one channel."""
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 3 and array.shape[0] == 1:
        return array[0]
    return array.transpose(1, 2, 0) if array.ndim == 3 else array
