"""Encoding images and animations as the bytes of a file: formats and their settings."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from cnnviz.errors import ImageError, UsageError
from cnnviz.imaging.pdf import encode_pdf
from cnnviz.imaging.pixels import to_pil_image
from cnnviz.imaging.png import encode_png
from cnnviz.imaging.recipe import SOFTWARE, recipe_metadata, to_comment

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
    ".pdf": "PDF",
}
"""The extensions that images can be written with, and Pillow's name of each format."""

QUALITY = 95
"""The default quality of JPEG and WebP."""

_LOSSLESS = {"PNG", "TIFF", "PDF"}
_MOVING = {"GIF", "WEBP"}
_LIST = ", ".join(name for name in FORMATS if name not in {".jpeg", ".tiff"})


def format_of(path: str | Path) -> str:
    """Pillow's name of the format of a path's extension; UsageError if images are not written with it."""
    suffix = Path(path).suffix
    if suffix.lower() in FORMATS:
        return FORMATS[suffix.lower()]
    what = f"'{suffix}' is not among them" if suffix else "the name has no extension"
    raise UsageError(f"'{path}' cannot be written: images are written as {_LIST}, and {what}.")


def is_lossless(suffix: str) -> bool:
    """Whether files with this extension store images of eight bits without loss."""
    return FORMATS.get(suffix.lower()) in _LOSSLESS


def encode(
    image: Any,
    format: str,
    recipe: dict[str, Any] | None = None,
    quality: int = QUALITY,
    *,
    duration: int = 80,
) -> bytes:
    """An image or animation as the bytes of a file; the same image and recipe give the same pixels and texts.

    Args:
        image: A PIL image; pixels as ``to_pil_image`` takes them; or a list of either, the frames of an animation.
        format: ``png``, ``jpg``, ``webp``, ``tiff``, ``gif``, ``pdf``, with or without a dot, in any case.
        recipe: What made the image, stored in its metadata; None stores none.
        quality: Of JPEG and WebP, 1 to 100. JPEG keeps the colors at full resolution (4:4:4).
        duration: Milliseconds per frame.

    Raises UsageError for an unknown format, or several frames in a format for one; ImageError if the image is too
    large for the format.
    """
    kind = format_of(f"image.{format.lower().removeprefix('.')}")
    if not 1 <= quality <= 100:
        raise UsageError(f"The quality must be between 1 and 100, not {quality}.")
    frames = _frames(image, kind)
    if kind == "PNG" and min(frames[0].size) > 0:
        return encode_png(frames[0], recipe_metadata(recipe, kind).get("pnginfo") if recipe is not None else None)
    if kind == "PDF":
        return encode_pdf(frames[0], to_comment(recipe) if recipe is not None else None, SOFTWARE)
    options = _options(kind, quality) | (recipe_metadata(recipe, kind) if recipe is not None else {})
    if len(frames) > 1:
        options |= {"save_all": True, "append_images": frames[1:], "duration": duration, "loop": 0}
    buffer = BytesIO()
    try:
        frames[0].save(buffer, kind, **options)
    except (OSError, ValueError, OverflowError) as error:
        size = " × ".join(map(str, frames[0].size))
        raise ImageError(f"An image of {size} pixels cannot be written as {kind}: {error}.") from error
    return buffer.getvalue()


def _frames(image: Any, kind: str) -> list[Image.Image]:
    """The image or the frames as PIL images, each in a mode that the format stores."""
    frames = list(image) if isinstance(image, Sequence) else [image]
    if not frames:
        raise UsageError("An animation needs at least one frame.")
    if len(frames) > 1 and kind not in _MOVING:
        raise UsageError(f"{kind} holds one image, not {len(frames)} frames; write a .gif or .webp.")
    return [_fit_mode(frame if isinstance(frame, Image.Image) else to_pil_image(frame), kind) for frame in frames]


def _fit_mode(image: Image.Image, kind: str) -> Image.Image:
    """The image in a mode that the format stores: transparency is dropped in JPEG and GIF, 256 colors chosen for GIF.

    A copy without metadata, so that none of an image that was read (its location, its thumbnail) is written.
    """
    keep = {"L", "RGB"} | ({"RGBA"} if kind in {"PNG", "WEBP", "TIFF"} else set())
    plain = image.copy() if image.mode in keep else image.convert("RGB")
    plain.info = {}
    return plain.quantize(256) if kind == "GIF" and plain.mode == "RGB" else plain


def _options(kind: str, quality: int) -> dict[str, Any]:
    if kind == "JPEG":
        return {"quality": quality, "subsampling": "4:4:4"}
    if kind == "WEBP":
        return {"quality": quality}
    return {"compression": "tiff_adobe_deflate"} if kind == "TIFF" else {}
