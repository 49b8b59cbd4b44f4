"""Between photos (``PIL.Image``) and pixels (tensors of floats in [0, 1])."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

_MAX_ASPECT = 4  # a longer side is at most this many times the size asked for


def to_pixels(photo: Image.Image, size: int | tuple[int, int] | None = None, crop: bool = False) -> Tensor:
    """A photo as pixels (1, 3, H, W), float32 in [0, 1], resized with an antialiased bilinear filter.

    Args:
        photo: The photo, of any mode that converts to RGB.
        size: None keeps the size. A number becomes the shorter side; the shape is kept, but the longer side
            never exceeds four times the number, so that a narrow strip stays affordable. A pair (H, W) is met
            exactly.
        crop: With a number: the evaluation protocol of ImageNet networks, as in torchvision; the shorter side
            becomes ``size * 256 / 224``, and the square of ``size`` in the middle is cut out.

    Raises UsageError if a size is not positive, or if ``crop`` comes without a single size.
    """
    import torch

    resized = _resize(photo.convert("RGB"), size, crop)
    samples = torch.from_numpy(np.array(resized)).permute(2, 0, 1)
    return samples[None].contiguous().float() / 255


def planned_size(photo: Image.Image, size: int | tuple[int, int], crop: bool = False) -> tuple[int, int]:
    """Height and width that ``to_pixels`` will give a photo, without doing it."""
    if isinstance(size, tuple):
        return size
    return (size, size) if crop else _fit(photo, size)


def _resize(photo: Image.Image, size: int | tuple[int, int] | None, crop: bool) -> Image.Image:
    if crop:
        if not isinstance(size, int):
            raise UsageError("A crop needs one size, the side of its square.")
        return _center_crop(photo, _positive(size))
    if size is None:
        return photo
    height, width = size if isinstance(size, tuple) else _fit(photo, _positive(size))
    return photo.resize((_positive(width), _positive(height)), Image.Resampling.BILINEAR)


def _fit(photo: Image.Image, size: int) -> tuple[int, int]:
    """Height and width with ``size`` as the shorter side, rounded as by torchvision, strips bounded."""
    short, long = sorted(photo.size)
    near, far = size, size * long // short
    if far > _MAX_ASPECT * size:
        far = _MAX_ASPECT * size
        near = max(1, round(far * short / long))
    return (near, far) if photo.width >= photo.height else (far, near)


def _center_crop(photo: Image.Image, size: int) -> Image.Image:
    """Resize, then cut, bit for bit as torchvision; of a long strip only the square is ever computed."""
    shorter, least = round(size * 256 / 224), min(photo.size)
    width, height = (shorter if side == least else int(shorter * side / least) for side in photo.size)
    left, top = round((width - size) / 2.0), round((height - size) / 2.0)
    if max(width, height) <= _MAX_ASPECT * shorter:
        large = photo.resize((width, height), Image.Resampling.BILINEAR)
        return large.crop((left, top, left + size, top + size))
    across, down = photo.width / width, photo.height / height
    box = (left * across, top * down, (left + size) * across, (top + size) * down)
    return photo.resize((size, size), Image.Resampling.BILINEAR, box=box)


def center_square(photo: Image.Image) -> Image.Image:
    """The part of a photo that ``to_pixels(..., crop=True)`` shows the network, at its own resolution."""
    side = max(1, round(min(photo.size) * 224 / 256))
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


def to_photo(pixels: Any) -> Image.Image:
    """Pixels as a photo of eight bits, rounded to nearest; grey (mode ``L``) where there is one channel.

    Args:
        pixels: A tensor or array of floats in [0, 1], clamped to it, NaN taken as 0: (1, 3, H, W), (3, H, W),
            (1, 1, H, W), (1, H, W) or (H, W). An array of uint8 in HWC (or HW) order passes as it is.

    Raises UsageError if the shape is none of these.
    """
    array = to_array(pixels)
    if array.dtype == np.uint8:
        layout = array
    else:
        layout = _channels_last(array)
        layout = np.rint(np.clip(np.nan_to_num(layout), 0, 1) * 255).astype(np.uint8)
    if layout.ndim not in {2, 3} or (layout.ndim == 3 and layout.shape[2] not in {3, 4}) or 0 in layout.shape:
        raise UsageError(f"Pixels of the shape {tuple(array.shape)} are no picture; (1, 3, H, W) is.")
    return Image.fromarray(np.ascontiguousarray(layout))


def _channels_last(array: NDArray[Any]) -> NDArray[Any]:
    """(1, C, H, W) or (C, H, W) as (H, W, C), without the channel axis where there is but one channel."""
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 3 and array.shape[0] == 1:
        return array[0]
    return array.transpose(1, 2, 0) if array.ndim == 3 else array
