"""Reading images from NumPy's .npy files: arrays (H, W), (H, W, C) or (C, H, W) of numbers, never pickled objects."""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cnnviz.errors import ImageError
from cnnviz.imaging.bands import Bands, scaled
from cnnviz.imaging.image_reading import FileSource, display_name, too_large

MAGIC = b"\x93NUMPY"
"""The first bytes of a .npy file."""


def read_npy(source: FileSource, channels: int | None, max_pixels: int) -> Bands:
    """The image in a .npy file.

    Args:
        source: The path of the file, or its bytes.
        channels: The number that is wanted, which tells (H, W, C) from (C, H, W); None takes the shorter axis.
        max_pixels: Larger images are refused by their header.

    Raises ImageError for objects, damaged files, other shapes, and values that ``scaled`` refuses.
    """
    name = display_name(source)
    with BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file:
        shape, dtype = _header(file, name)
        if dtype.hasobject:
            raise ImageError(f"{name} holds Python objects, which are not read, since reading them can run code.")
        shape = _without_batch(shape, name)
        axis = _channel_axis(shape, channels, name)
        count = math.prod(shape)
        if count > 3 * max_pixels:
            raise too_large(f"{name} holds {' × '.join(map(str, shape))} = {count:,} values", 3 * max_pixels)
        file.seek(0)
        try:
            values = np.load(file, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise ImageError(f"{name} is damaged or cut short and cannot be read whole.") from error
    return Bands(np.ascontiguousarray(np.moveaxis(scaled(values, name).reshape(shape), axis, 0)))


def _header(file: BinaryIO, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the array; nothing of the file is executed."""
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    except Exception as error:  # NumPy's parser meets damaged headers with exceptions of many kinds
        raise ImageError(f"{name} begins like a NumPy array, but its header makes no sense.") from error
    return shape, dtype


def _without_batch(shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    """The shape with three axes, channels among them; ImageError for what is not one image."""
    found = shape[1:] if len(shape) == 4 and shape[0] == 1 else shape
    if len(found) not in (2, 3) or 0 in found:
        raise ImageError(f"{name} holds an array of the shape {shape}; an image is (H, W), (H, W, C) or (C, H, W).")
    return found if len(found) == 3 else (1, *found)


def _channel_axis(shape: tuple[int, ...], channels: int | None, name: str) -> int:
    """Which axis is the channels: the first or last, of ``channels`` values or the shorter one."""
    ends = {axis: shape[axis] for axis in (0, 2)}
    length = channels if channels in ends.values() else min(ends.values())
    found = [axis for axis, size in ends.items() if size == length]
    if len(found) > 1:
        raise ImageError(f"{name} holds an array of the shape {shape}, whose first or last axis may be the channels.")
    return found[0]
