"""Images of any number of channels, as a satellite's bands: resized as photos are, and shown as a photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.errors import ImageError, UsageError, shortened
from cnnviz.imaging.checks import range_problem

RGB = 3
MEAN = "mean"
"""Shows the mean of all channels in gray."""

_DARK, _BRIGHT = 0.5, 99.0
"""A photo of which this percentile is darker than this is brightened until it is white."""

_TRUSTED = "whose range is not that of an image's values"


@dataclass(frozen=True, eq=False)
class Bands:
    """An image of any number of channels.

    It has the properties and methods of a PIL image that are needed to resize and crop it.

    Attributes:
        values: (C, H, W), float32 in [0, 1].
    """

    values: NDArray[np.float32]

    @staticmethod
    def of_rgba(image: Image.Image) -> Bands:
        """A PIL image of mode ``RGBA``, its transparency as the fourth channel."""
        return Bands(np.asarray(image.convert("RGBA"), np.float32).transpose(2, 0, 1) / 255)

    @property
    def count(self) -> int:
        """The number of channels."""
        return int(self.values.shape[0])

    @property
    def width(self) -> int:
        return int(self.values.shape[2])

    @property
    def height(self) -> int:
        return int(self.values.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width, self.height

    def resize(self, size: tuple[int, int], *options: Any, **named: Any) -> Bands:
        """The image at (width, height), each channel as Pillow resizes floats; the arguments are Pillow's."""
        if size == self.size and not named.get("box"):
            return self
        resized = [np.asarray(Image.fromarray(band).resize(size, *options, **named)) for band in self.values]
        return Bands(np.stack(resized).clip(0, 1))

    def crop(self, box: tuple[int, int, int, int]) -> Bands:
        """The part within left, top, right, bottom."""
        left, top, right, bottom = box
        return Bands(np.ascontiguousarray(self.values[:, top:bottom, left:right]))


Decoded = Image.Image | Bands
"""An image as it is read: a photo, mode ``RGB``, or an image of any number of channels."""


Channels = tuple[int, ...] | str
"""Channels to show, counted from 1: three as red, green and blue, or one in gray; or ``mean``, that of all."""


@dataclass(frozen=True)
class Shown:
    """An image as people see it.

    Attributes:
        image: mode ``RGB``.
        caption: what it is: ``photo``, or which channels.
        channels: those it shows, None for a photo.
    """

    image: Image.Image
    caption: str = "photo"
    channels: Channels | None = None


def shown_channels(text: str | Sequence[int] | None) -> Channels | None:
    """The channels to show, counted from 1, of ``3,2,1``, ``4`` or ``mean``; None for None.

    Raises UsageError for anything else, or for other than one or three channels.
    """
    if text is None or text == MEAN:
        return text if text is None else MEAN
    parts = text.split(",") if isinstance(text, str) else [str(number) for number in text]
    numbers = tuple(int(part) for part in parts if part.strip().isdecimal() and len(part) < 9)
    if len(numbers) != len(parts) or len(numbers) not in (1, RGB) or 0 in numbers:
        raise UsageError(
            "Three channels are shown as red, green and blue, one in gray, counted from 1, as in 3,2,1; or their mean; "
            f"not '{shortened(','.join(parts))}'."
        )
    return numbers


def show(image: Decoded, channels: Channels | None = None) -> Shown:
    """A photo as it is; of other images ``channels`` (see ``shown_channels``).

    None takes the first three, of two their mean. Dark channels are brightened, which the caption says: what fills a
    tenth of the range of its type would be black. Raises UsageError where there is no such channel.
    """
    if isinstance(image, Image.Image):
        return Shown(image)
    if channels is None and image.count in (1, RGB):
        chosen, caption, values = None, "photo", image.values
    else:
        chosen = channels or ((1, 2, 3) if image.count > RGB else MEAN)
        values = select_channels(image.values, chosen)
        caption = _caption(chosen, image.count)
    white = float(np.percentile(values, _BRIGHT))
    factor = 1 / white if chosen and 0 < white < _DARK else 1.0
    caption += f", brightened × {factor:.3g}" if factor > 1 else ""
    levels = np.rint(np.clip(values * factor, 0, 1) * 255).astype(np.uint8)
    colors = np.broadcast_to(levels, (RGB, *levels.shape[1:])).transpose(1, 2, 0)
    return Shown(Image.fromarray(np.ascontiguousarray(colors)), caption, chosen)


def select_channels(values: Any, channels: Channels | None) -> Any:
    """The chosen channels of an array or tensor (C, H, W), (3, H, W) or (1, H, W); all for None."""
    if channels is None:
        return values
    if isinstance(channels, str):
        return values.mean(0)[None]
    missing = [number for number in channels if number > len(values)]
    if missing:
        raise UsageError(f"There is no channel {missing[0]} to show: the images have {_count(len(values))}.")
    return values[[number - 1 for number in channels]]


def _caption(channels: Channels, count: int) -> str:
    if isinstance(channels, str):
        return f"mean of {_count(count)}"
    return f"channel{'s' if len(channels) > 1 else ''} {', '.join(map(str, channels))}"


def fit_channels(image: Decoded, channels: int, name: str, whose: str = "") -> Decoded:
    """The image where it has ``channels`` channels, or a gray one made RGB, or an RGB one where gray is wanted.

    Raises ImageError, with both numbers, for any other; ``name`` is the file's and ``whose`` the network's.
    """
    count = image.count if isinstance(image, Bands) else RGB
    if count == 1 and channels == RGB:
        assert isinstance(image, Bands)
        return Bands(image.values.repeat(RGB, axis=0))
    if count == channels or (count == RGB and channels == 1):
        return image
    raise wrong_channels(name, count, channels, whose)


def wrong_channels(name: str, count: int, channels: int, whose: str = "") -> ImageError:
    """The error for an image of another number of channels than the network takes."""
    wanted = f"{whose} takes {channels}" if whose else f"{channels} {'is' if channels == 1 else 'are'} wanted"
    return ImageError(f"{name} has {_count(count)}, but {wanted}.")


def _count(channels: int) -> str:
    return f"{channels} channel{'' if channels == 1 else 's'}"


def scaled(values: NDArray[Any], name: str) -> NDArray[np.float32]:
    """The numbers of a file as float32 in [0, 1]: integers divided by the largest of their type, floats as they are.

    Raises ImageError for other types, for negative integers, and for floats outside [0, 1].
    """
    kind, bits = values.dtype.kind, 8 * values.dtype.itemsize
    if kind == "b":
        return values.astype(np.float32)
    if kind in "iu":
        if bits > 32:
            raise ImageError(
                f"{name} holds integers of {bits} bits, {_TRUSTED}; save it as uint8, uint16, or floats in [0, 1]."
            )
        if kind == "i" and values.size and values.min() < 0:
            raise ImageError(f"{name} holds negative integers; save it as uint8, uint16, or floats in [0, 1].")
        return (values.astype(np.float64 if bits > 16 else np.float32) / np.iinfo(values.dtype).max).astype(np.float32)
    if kind != "f":
        raise ImageError(f"{name} holds values of the type {values.dtype}; save it as uint8 or floats in [0, 1].")
    found = values.astype(np.float32)
    low, high = (float(found.min()), float(found.max())) if found.size else (0.0, 0.0)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError(f"{name} holds NaN or infinite values.")
    if range_problem(low, high):
        raise ImageError(f"{name} holds floats from {low:.3g} to {high:.3g}; they must be in [0, 1].")
    return found.clip(0, 1)
