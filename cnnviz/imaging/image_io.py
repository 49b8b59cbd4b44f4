"""Reading and writing pictures: upright sRGB in, atomic files with their recipe out."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from cnnviz.errors import ImageError
from cnnviz.imaging.atomic_file import atomic_path, temporary_path
from cnnviz.imaging.color import parse_color, to_srgb
from cnnviz.imaging.encoding import FORMATS, encode, format_of
from cnnviz.imaging.image_reading import MAX_PIXELS, FileSource, display_name, open_image, os_error_text
from cnnviz.imaging.pixels import Crop, to_pil_image, to_pixels
from cnnviz.imaging.video_io import MP4, encode_video

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "SUFFIXES",
    "ByteChunks",
    "encode",
    "read_image",
    "read_pil_image",
    "to_pil_image",
    "to_pixels",
    "write_bytes",
    "write_image",
]

SUFFIXES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".gif"}
    | {".bmp", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".tga", ".psd"}
)
"""The extensions, in lower case, that mark a picture in a folder. A file named outright may have any."""

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
    """Read a picture whole, upright, in sRGB, as eight-bit ``RGB``.

    The EXIF orientation is applied, the ICC profile converted, transparency filled, sixteen bits scaled to
    eight; of an animation the first frame is read. Broken metadata is passed over, broken pictures are not.

    Args:
        source: A path, or the bytes of a file.
        background: The colour seen through transparent pixels: a name like ``white`` or a code like
            ``#ffcc00``.
        max_pixels: Larger pictures are refused by their header, before they are decoded.

    Raises ImageError, naming the path and the cause, if there is no such file, or it is empty, not a picture,
    damaged, or too large; UsageError if there is no such colour.
    """
    fill = parse_color(background)
    with open_image(source, max_pixels) as picture:
        picture.load()
        return _upright(to_srgb(picture, fill), _orientation(picture))


def _orientation(picture: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, of a loaded picture; 1 (upright) where it is missing or unreadable."""
    try:
        return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow's EXIF reader fails in many ways on broken data, none of which harms the picture
        return 1


def _upright(photo: Image.Image, orientation: int) -> Image.Image:
    return photo.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else photo


def read_image(
    source: FileSource,
    size: int | tuple[int, int] | None = None,
    crop: bool | Crop = False,
    *,
    background: str = "white",
    max_pixels: int = MAX_PIXELS,
) -> Tensor:
    """Read a picture as pixels (1, 3, H, W), float32 in [0, 1], RGB.

    Args:
        source: A path, or the bytes of a file.
        size: None keeps the size, a number becomes the shorter side (whole picture, shape kept), (H, W) is
            met exactly.
        crop: True resizes the shorter side to ``size * 256 / 224`` and cuts the square of ``size`` out of the
            middle, as most ImageNet networks are evaluated; ``network.spec.crop`` does as that network's were.
        background: The colour seen through transparent pixels.
        max_pixels: Larger pictures are refused before they are decoded.

    Raises ImageError if the picture cannot be read whole (see ``read_pil_image``), UsageError for a senseless
    size or colour.
    """
    return to_pixels(read_pil_image(source, background=background, max_pixels=max_pixels), size, crop)


def write_image(
    image: Any,
    path: str | Path,
    recipe: dict[str, Any] | None = None,
    *,
    force: bool = False,
    format: str | None = None,
    quality: int = 95,
    duration: int = 80,
) -> Path:
    """Write a picture to a file, whole or not at all, and return its path.

    Args:
        image: A photo; pixels (1, 3, H, W) in [0, 1] as ``to_pil_image`` takes them; or a list of either, the
            frames of a moving picture (.gif, .webp, .mp4).
        path: Its extension gives the format: .png, .jpg, .webp, .tif, .gif or .mp4.
        recipe: What made the picture, carried in its metadata; see ``read_recipe``.
        force: Replace an existing file. A link is replaced itself; what it points to stays.
        format: Instead of the extension.
        quality: Of JPEG and WebP, 1 to 100.
        duration: How long each frame is seen, in milliseconds.

    Raises ImageError if the file exists (without ``force``), the folder does not, or the disk refuses;
    UsageError for an unknown extension.
    """
    target = Path(path)
    if target.suffix.lower() == MP4 and format is None:
        _check_target(target, force)
        frames = list(image) if isinstance(image, Sequence) else [image]
        return write_bytes(encode_video(frames, recipe, duration=duration, quality=quality), target, force=force)
    kind = format or format_of(target).lower()
    _check_target(target, force)
    return write_bytes(encode(image, kind, recipe, quality, duration=duration), target, force=force)


@dataclass(frozen=True)
class ByteChunks:
    """The contents of a file too large to be held: ``make`` gives them piece by piece, from the start each time."""

    make: Callable[[], Iterator[bytes]]

    def __iter__(self) -> Iterator[bytes]:
        return self.make()


def write_bytes(content: bytes | ByteChunks, path: str | Path, *, force: bool = False) -> Path:
    """Write any file whole or not at all, and return its path.

    Raises ImageError if it exists (without ``force``), its folder does not, or the disk refuses.
    """
    target = Path(path)
    _check_target(target, force)
    try:
        with atomic_path(target, overwrite=force) as temporary, temporary.open("xb") as file:
            for chunk in [content] if isinstance(content, bytes) else content:
                file.write(chunk)
    except FileExistsError as error:
        raise _taken(target) from error
    except OSError as error:
        raise ImageError(f"{display_name(target)} cannot be written: {os_error_text(error)}.") from error
    return target


def check_writable(target: Path, probed: set[Path]) -> set[Path]:
    """Find out before any work that a file could not be written; gives the folders known to take files.

    Raises ImageError where the name is taken by something else than a file, or its folder, or the one it would be made
    in, takes no new file. ``probed`` are folders that were tried already.
    """
    folder = target.parent
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not os.path.isdir(folder):  # noqa: PTH112
        raise ImageError(
            f"The folder {display_name(target.parent)} cannot be made: {display_name(folder)} is no folder."
        )
    if folder == target.parent and os.path.lexists(target):
        _check_target(target, force=True)
    if folder in probed:
        return probed
    temporary = temporary_path(folder)
    try:
        temporary.open("xb").close()
        temporary.unlink()
    except OSError as error:
        raise ImageError(f"{display_name(target)} cannot be written: {os_error_text(error)}.") from error
    return probed | {folder}


def _check_target(target: Path, force: bool) -> None:
    """Refuse early what would fail after the work: an existing file, a missing folder, a device."""
    if not os.path.isdir(target.parent):  # noqa: PTH112 (Path.is_dir raises where it may not look)
        folder = display_name(target.parent)
        raise ImageError(f"{display_name(target)} cannot be written: there is no folder {folder}; make it first.")
    try:
        mode = target.lstat().st_mode
    except OSError:
        return  # nothing there yet; if the name itself is impossible, writing will say so
    except ValueError as error:
        raise ImageError(f"{display_name(target)} cannot be the name of a file.") from error
    if stat.S_ISDIR(mode):
        raise ImageError(f"{display_name(target)} is a folder; name a file in it.")
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        raise ImageError(f"{display_name(target)} is a pipe or device, not a file.", remedy="write_stdout")
    if not force:
        raise _taken(target)


def _taken(target: Path) -> ImageError:
    return ImageError(f"{display_name(target)} exists already.", remedy="overwrite")
