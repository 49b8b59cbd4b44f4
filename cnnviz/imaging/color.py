"""Conversion of any image file's colors to eight-bit sRGB, which networks are trained on."""

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
    """(red, green, blue) in 0..255 of a color as Pillow names it: ``white``, ``#fa0``, ``hsl(30, 100%, 50%)``.

    Raises UsageError for an unknown name.
    """
    try:
        return ImageColor.getrgb(color)[:3]
    except (ValueError, AttributeError, TypeError) as error:
        raise UsageError(f"There is no color '{color}'; give a name like 'white' or a code like '#ffcc00'.") from error


def to_srgb(image: Image.Image, background: RGB) -> Image.Image:
    """A new ``RGB`` image in sRGB: deep samples scaled, the ICC profile applied, transparent pixels filled.

    Args:
        image: A loaded image of any of Pillow's modes.
        background: The color of transparent pixels, (red, green, blue) in 0..255.
    """
    converted, alpha = split_alpha(image)
    if alpha is None:
        return converted
    filled = Image.new("RGB", image.size, background)
    filled.paste(converted, mask=alpha)
    return filled


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """A new ``RGB`` image in sRGB, and how opaque it is, mode ``L``; None where it is so everywhere."""
    profile = image.info.get("icc_profile")
    plain = _to_plain_mode(image)
    has_alpha = plain.mode in {"LA", "RGBA"}
    opaque = plain.convert(plain.mode.removesuffix("A")) if has_alpha else plain
    return _apply_profile(opaque, profile), plain.getchannel("A") if has_alpha else None


def is_gray(image: Image.Image) -> bool:
    """Whether an image has a gray channel only, beside its transparency."""
    return image.mode in {"1", "L", "LA", "La"} or image.mode.startswith(("I", "F"))


def _to_plain_mode(image: Image.Image) -> Image.Image:
    """The same image as L, RGB, CMYK or LAB (the modes that ICC profiles apply to), or as LA or RGBA."""
    if image.mode.startswith(("I", "F")):
        return _to_eight_bits(image)
    if image.mode in {"La", "RGBa"}:
        return image.convert(image.mode.upper())
    if image.has_transparency_data:
        return image if image.mode == "LA" else image.convert("RGBA")
    if image.mode in {"L", "RGB", "CMYK", "LAB"}:
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Samples deeper than eight bits as a gray image, scaled to 0..255 and rounded to nearest.

    Integers in range are taken as sixteen bits deep, or twelve where their TIFF says so. Floats are taken as [0, 1] if
    they lie in it. All others are stretched from their smallest to their largest value, since no white is given.
    """
    samples = np.asarray(image)
    white = 1.0 if image.mode == "F" else float(_white(image))
    ends = [(part.min(), part.max()) for part in _in_strips(samples)]
    low, high = float(min(low for low, _ in ends)), float(max(high for _, high in ends))
    if low >= 0 and high <= white:
        low, high = 0.0, white
    scaled = np.empty(samples.shape, np.uint8)
    for part, place in zip(_in_strips(samples), _in_strips(scaled, numbers=False), strict=True):
        place[:] = np.rint((part - low) * (255.0 / ((high - low) or 1.0)))
    return Image.fromarray(scaled)


def _in_strips(samples: NDArray[Any], *, numbers: bool = True) -> Iterator[NDArray[Any]]:
    """Some rows at a time, so that no float64 copy of the image is in memory; as ``numbers`` float64, with NaN as 0."""
    rows = max(1, (1 << 20) // samples.shape[1])
    for start in range(0, len(samples), rows):
        part = samples[start : start + rows]
        yield np.nan_to_num(part.astype(np.float64), posinf=0.0, neginf=0.0) if numbers else part


def _white(image: Image.Image) -> int:
    """The largest value that fits integers of the image's depth: 4095 for a TIFF of twelve bits, else 65535."""
    bits = getattr(image, "tag_v2", {}).get(258, (16,))[0]
    return 2 ** int(bits) - 1 if 8 < bits < 16 else 65535


def _apply_profile(image: Image.Image, profile: bytes | None) -> Image.Image:
    """A new ``RGB`` image, converted by the ICC profile if there is a valid one that fits the image's mode."""
    if profile or image.mode == "LAB":
        from PIL import ImageCms

        try:
            source = _open_profile(ImageCms, image.mode, profile)
            if not _is_srgb(ImageCms, source):
                target = ImageCms.createProfile("sRGB")
                converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
                if converted is not None:
                    return converted
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # a broken or misfitting profile: the numbers are taken as sRGB
    return image.copy() if image.mode == "RGB" else image.convert("RGB")


def _open_profile(cms: Any, mode: str, profile: bytes | None) -> Any:
    if profile:
        return cms.ImageCmsProfile(BytesIO(profile))
    return cms.ImageCmsProfile(cms.createProfile(mode))


def _is_srgb(cms: Any, profile: Any) -> bool:
    """Whether the profile is named sRGB: then nothing is converted, and nothing rounded."""
    return bool(cms.getProfileDescription(profile).strip().startswith("sRGB"))
