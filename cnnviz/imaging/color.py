"""Colour: from whatever a file holds to eight-bit sRGB, which is what networks were trained on."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from cnnviz.errors import UsageError

RGB = tuple[int, int, int]


def parse_color(color: str) -> RGB:
    """Red, green, blue in 0..255 of any colour Pillow knows: ``white``, ``#fa0``, ``hsl(30, 100%, 50%)``.

    Raises UsageError if it knows none of that name.
    """
    try:
        return ImageColor.getrgb(color)[:3]
    except (ValueError, AttributeError, TypeError) as error:
        raise UsageError(f"There is no colour '{color}'; give a name like 'white' or a code like '#ffcc00'.") from error


def to_srgb(picture: Image.Image, background: RGB) -> Image.Image:
    """A new ``RGB`` picture in sRGB: deep samples scaled, the ICC profile applied, transparency filled.

    Args:
        picture: A loaded picture of any of Pillow's modes.
        background: What is seen through transparent pixels, red, green, blue in 0..255.
    """
    profile = picture.info.get("icc_profile")
    plain = _to_plain_mode(picture)
    opaque = plain.convert(plain.mode.removesuffix("A")) if plain.mode in {"LA", "RGBA"} else plain
    converted = _apply_profile(opaque, profile)
    if opaque is plain:
        return converted
    filled = Image.new("RGB", picture.size, background)
    filled.paste(converted, mask=plain.getchannel("A"))
    return filled


def _to_plain_mode(picture: Image.Image) -> Image.Image:
    """The same picture as L, RGB, CMYK or LAB (what a colour profile can speak about), or as LA or RGBA."""
    if picture.mode.startswith(("I", "F")):
        return _to_eight_bits(picture)
    if picture.mode in {"La", "RGBa"}:
        return picture.convert(picture.mode.upper())
    if picture.has_transparency_data:
        return picture if picture.mode == "LA" else picture.convert("RGBA")
    if picture.mode in {"L", "RGB", "CMYK", "LAB"}:
        return picture
    return picture.convert("L" if picture.mode == "1" else "RGB")


def _to_eight_bits(picture: Image.Image) -> Image.Image:
    """Scale samples deeper than eight bits to 0..255, rounded to nearest, as a grey picture.

    Integers that fit are taken as sixteen bits deep, or twelve where their TIFF says so. Floats are taken as [0, 1] if
    they lie in it. All others are stretched from their own least to their own largest value, for nothing says what
    their white is.
    """
    samples = np.asarray(picture)
    white = 1.0 if picture.mode == "F" else float(_white(picture))
    ends = [(part.min(), part.max()) for part in _in_strips(samples)]
    low, high = float(min(low for low, _ in ends)), float(max(high for _, high in ends))
    if low >= 0 and high <= white:
        low, high = 0.0, white
    scaled = np.empty(samples.shape, np.uint8)
    for part, place in zip(_in_strips(samples), _in_strips(scaled, numbers=False), strict=True):
        place[:] = np.rint((part - low) * (255.0 / ((high - low) or 1.0)))
    return Image.fromarray(scaled)


def _in_strips(samples: NDArray[Any], *, numbers: bool = True) -> Iterator[NDArray[Any]]:
    """Some rows after the others, so that no second picture of float64 is in memory; as ``numbers``, NaN as 0."""
    rows = max(1, (1 << 20) // samples.shape[1])
    for start in range(0, len(samples), rows):
        part = samples[start : start + rows]
        yield np.nan_to_num(part.astype(np.float64), posinf=0.0, neginf=0.0) if numbers else part


def _white(picture: Image.Image) -> int:
    """The largest value that fits integers of the picture's depth: 4095 for a TIFF of twelve bits, else 65535."""
    bits = getattr(picture, "tag_v2", {}).get(258, (16,))[0]
    return 2 ** int(bits) - 1 if 8 < bits < 16 else 65535


def _apply_profile(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """A new ``RGB`` picture, through the ICC profile if there is a sound one that fits the picture's mode."""
    if profile or picture.mode == "LAB":
        from PIL import ImageCms

        try:
            source = _open_profile(ImageCms, picture.mode, profile)
            if not _is_srgb(ImageCms, source):
                target = ImageCms.createProfile("sRGB")
                converted = ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
                if converted is not None:
                    return converted
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # a broken or misfitting profile: the bare numbers are the best there is
    return picture.copy() if picture.mode == "RGB" else picture.convert("RGB")


def _open_profile(cms: Any, mode: str, profile: bytes | None) -> Any:
    if profile:
        return cms.ImageCmsProfile(BytesIO(profile))
    return cms.ImageCmsProfile(cms.createProfile(mode))


def _is_srgb(cms: Any, profile: Any) -> bool:
    """Whether the profile calls itself sRGB: then there is nothing to convert, and no rounding to suffer."""
    return bool(cms.getProfileDescription(profile).strip().startswith("sRGB"))
