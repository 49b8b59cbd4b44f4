"""Decoding image files, upright: photos as sRGB, other images with the channels that they have."""

from __future__ import annotations

import numpy as np
from PIL import Image, UnidentifiedImageError

from cnnviz.errors import ImageError
from cnnviz.imaging.bands import Bands, Decoded
from cnnviz.imaging.color import RGB, is_gray, parse_color, split_alpha, to_srgb
from cnnviz.imaging.image_reading import MAX_PIXELS, FileSource, first_bytes, open_image
from cnnviz.imaging.npy_reading import MAGIC, read_npy
from cnnviz.imaging.tiff_bands import holds_bands, is_tiff, read_tiff_bands

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_pil_image(source: FileSource, *, background: str = "white", max_pixels: int = MAX_PIXELS) -> Image.Image:
    """An image file as an upright PIL image of eight bits, mode ``RGB``, in sRGB.

    The EXIF orientation and the ICC profile are applied, transparent pixels filled, sixteen bits scaled to eight; of
    an animation the first frame is read. Broken metadata is ignored, broken images are not.

    Args:
        source: A path, or the bytes of a file.
        background: The color of transparent pixels: a name like ``white`` or a code like ``#ffcc00``.
        max_pixels: Larger images are refused by their header, before they are decoded.

    Raises ImageError, naming the path and the cause, if there is no such file, or it is empty, not an image,
    damaged, or too large; UsageError if there is no such color.
    """
    fill = parse_color(background)
    with open_image(source, max_pixels) as image:
        image.load()
        return _upright(to_srgb(image, fill), _orientation(image))


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, of a loaded image; 1 (upright) where it is missing or unreadable."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow's EXIF reader fails in many ways on broken data, none of which harms the image
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def read_decoded(
    source: FileSource, channels: int | None = None, *, background: str = "white", max_pixels: int = MAX_PIXELS
) -> Decoded:
    """An image file as a photo (see ``read_pil_image``), or as ``Bands`` where it holds no photo or none is wanted.

    Args:
        source: A path, or the bytes of a file.
        channels: The number that the network takes; the image may have another (see ``fit_channels``). For 1, 3 and
            None what can be read as a photo is one. For others, a TIFF has all its bands and transparency is a channel.
        background: The color of transparent pixels of a photo.
        max_pixels: Larger images are refused by their header, before they are decoded.

    Raises ImageError and UsageError as ``read_pil_image`` does; ImageError for values that are no image's.
    """
    fill = parse_color(background)
    start = first_bytes(source)
    if start.startswith(MAGIC):
        return read_npy(source, channels, max_pixels)
    is_photo_wanted = channels in (None, 1, 3)
    if is_tiff(start) and (not is_photo_wanted or holds_bands(source)):
        bands = read_tiff_bands(source, channels, max_pixels)
        if bands is not None:
            return bands
    try:
        with open_image(source, max_pixels) as image:
            image.load()
            orientation = _orientation(image)
            return _photo(image, fill, orientation) if is_photo_wanted else _channels(image, channels, orientation)
    except ImageError as error:
        unknown = is_tiff(start) and isinstance(error.__cause__, UnidentifiedImageError)
        bands = read_tiff_bands(source, channels, max_pixels) if unknown else None
        if bands is None:
            raise
        return bands


def _photo(image: Image.Image, fill: RGB, orientation: int) -> Image.Image:
    return _upright(to_srgb(image, fill), orientation)


def _channels(image: Image.Image, channels: int | None, orientation: int) -> Decoded:
    """The channels of a photo: gray, gray and transparency if two are wanted, RGB, or RGB and transparency."""
    color, alpha = split_alpha(image)
    if alpha is None and not is_gray(image):
        return _upright(color, orientation)
    wants_gray = is_gray(image) and (alpha is None or channels == 2)
    parts = [color.getchannel(0)] if wants_gray else list(color.split())
    parts += [] if alpha is None else [alpha]
    levels = [np.asarray(_upright(part, orientation), np.float32) / 255 for part in parts]
    return Bands(np.stack(levels))
