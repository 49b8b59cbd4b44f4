"""Conversion between PIL images and pixels, float tensors (1, 3, H, W) in [0, 1]; sizes and crops."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.errors import UsageError
from cnnviz.imaging.bands import Bands, Decoded
from cnnviz.imaging.checks import range_problem

if TYPE_CHECKING:
    from torch import Tensor

AnyImage = TypeVar("AnyImage", Image.Image, Bands)

_MAX_ASPECT = 4  # a longer side is at most this many times the size asked for
_MOST_PIXELS = 2**24  # up to this size an image is resized whole before its center is cut out
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class Crop:
    """A resize and central crop, as torchvision evaluates a network with.

    The shorter side becomes ``resize`` pixels by ``interpolation`` (``bilinear`` or ``bicubic``, antialiased); then
    the central square of ``size`` is cut out. Raises UsageError if the square is larger than ``resize``.
    """

    size: int = 224
    resize: int = 256
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if self.interpolation not in _FILTERS:
            raise UsageError(f"Images are resized by {' or '.join(_FILTERS)}, not by '{self.interpolation}'.")
        if not 1 <= self.size <= self.resize:
            raise UsageError(
                f"A square of {self.size} pixels cannot be cut out of an image with a shorter side of {self.resize}."
            )

    def at(self, size: int) -> Crop:
        """The crop that takes the same part of an image at another size."""
        return replace(self, size=size, resize=max(size, round(size * self.resize / self.size)))


def to_pixels(image: Decoded, size: int | tuple[int, int] | None = None, crop: bool | Crop = False) -> Tensor:
    """An image as pixels (1, C, H, W), float32 in [0, 1], resized with an antialiased bilinear filter; photos are RGB.

    Args:
        image: A photo, of any mode that converts to RGB, or an image of any channels.
        size: In pixels. None keeps the size. A number becomes the shorter side; the aspect ratio is kept, but the
            longer side is at most four times the number. A pair (H, W) is the size of the result.
        crop: True resizes the shorter side to ``size * 256 / 224`` and cuts the central square of ``size`` out, as
            most ImageNet networks are evaluated. A ``Crop``, such as ``network.spec.crop``, is applied at ``size``,
            or at its own size if ``size`` is None.

    Raises UsageError if a size is not positive, or if ``crop`` is True without a single size.
    """
    import torch

    if isinstance(image, Bands):
        return torch.from_numpy(_resize(image, size, crop).values.copy())[None]
    resized = _resize(image if image.mode == "RGB" else image.convert("RGB"), size, crop)
    samples = torch.from_numpy(np.array(resized)).permute(2, 0, 1)[None]
    return samples.to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def resized_shape(image: Decoded, size: int | tuple[int, int], crop: bool | Crop = False) -> tuple[int, int]:
    """Height and width of what ``to_pixels`` returns for an image."""
    if isinstance(size, tuple):
        return size
    return (size, size) if crop else _fit(image, size)


def resolve_crop(size: int | tuple[int, int] | None, crop: bool | Crop) -> Crop:
    """The ``Crop`` that ``size`` and ``crop`` of ``to_pixels`` mean together."""
    plan = crop if isinstance(crop, Crop) else Crop()
    if size is None and plan is crop:
        return plan
    if not isinstance(size, int):
        raise UsageError("A crop needs one size, the side of its square.")
    return plan.at(_positive(size))


def _resize(image: AnyImage, size: int | tuple[int, int] | None, crop: bool | Crop) -> AnyImage:
    if crop:
        return _center_crop(image, resolve_crop(size, crop))
    if size is None:
        return image
    height, width = size if isinstance(size, tuple) else _fit(image, _positive(size))
    return _resampled(image, (_positive(width), _positive(height)))


def _resampled(image: AnyImage, size: tuple[int, int]) -> AnyImage:
    """An image at (width, height); strips of millions of pixels, too long for Pillow's filter, in two steps."""
    try:
        return image.resize(size, Image.Resampling.BILINEAR)
    except MemoryError:
        return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)


def _fit(image: Decoded, size: int) -> tuple[int, int]:
    """Height and width with ``size`` as the shorter side, rounded as torchvision does, narrow strips bounded."""
    short, long = sorted(image.size)
    near, far = size, size * long // short
    if far > _MAX_ASPECT * size:
        far = _MAX_ASPECT * size
        near = max(1, round(far * short / long))
    return (near, far) if image.width >= image.height else (far, near)


def crop_box(width: int, height: int, crop: Crop) -> tuple[int, int, int, int]:
    """Width and height that an image is resized to, and left and top of the square in it, rounded as torchvision does.

    torchvision pads images smaller than the square; a ``Crop`` allows none.
    """
    least = min(width, height)
    wide, high = (crop.resize if side == least else int(crop.resize * side / least) for side in (width, height))
    return wide, high, round((wide - crop.size) / 2.0), round((high - crop.size) / 2.0)


def _center_crop(image: AnyImage, crop: Crop) -> AnyImage:
    """Resized, then cropped, bit for bit as by torchvision; of huge images only the square is computed."""
    width, height, left, top = crop_box(*image.size, crop)
    size, kind = crop.size, _FILTERS[crop.interpolation]
    if width * height <= _MOST_PIXELS:
        return image.resize((width, height), kind).crop((left, top, left + size, top + size))
    across, down = image.width / width, image.height / height
    box = (left * across, top * down, (left + size) * across, (top + size) * down)
    return image.resize((size, size), kind, box=box)


def center_square(image: Image.Image, crop: Crop = Crop()) -> Image.Image:
    """The part of an image that ``crop`` cuts out, at the image's own resolution."""
    side = max(1, round(min(image.size) * crop.size / crop.resize))
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return image.resize((side, side), Image.Resampling.NEAREST, box=box)  # crop() would mistake a huge one for a bomb


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
    """Pixels as a PIL image of eight bits, rounded to nearest; gray (mode ``L``) for one channel.

    Args:
        pixels: A tensor or array of floats in [0, 1]: (1, 3, H, W), (3, H, W), (1, 1, H, W), (1, H, W) or (H, W). An
            array of uint8 (H, W, 3) or (H, W) is taken as it is.
        clamp: Clip values outside [0, 1], and take NaN as 0, instead of raising an error.

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
        raise UsageError(f"Pixels of the shape {tuple(array.shape)} are not an image; (1, 3, H, W) is.")
    return Image.fromarray(np.ascontiguousarray(layout))


def from_pixels(pixels: Tensor) -> Decoded:
    """Pixels (1, C, H, W) in [0, 1] as an image: a photo, mode ``RGB``, for 1 and 3 channels."""
    if pixels.shape[1] in (1, 3):
        return to_pil_image(pixels, clamp=True).convert("RGB")
    return Bands(pixels[0].detach().cpu().float().clamp(0, 1).numpy())


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
