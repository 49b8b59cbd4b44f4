"""Reading images, upright and in sRGB, and writing them atomically, with their recipe."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnviz.errors import ImageError
from cnnviz.imaging.atomic_file import atomic_path, temporary_path
from cnnviz.imaging.bands import Bands, fit_channels
from cnnviz.imaging.decoding import read_decoded, read_pil_image
from cnnviz.imaging.encoding import FORMATS, encode, format_of
from cnnviz.imaging.image_reading import MAX_PIXELS, FileSource, display_name, os_error_text
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
"""The extensions, in lower case, of images that are found in folders. A file given by name may have any.

NumPy arrays (.npy) are found in folders that hold no other images.
"""


def read_image(
    source: FileSource,
    size: int | tuple[int, int] | None = None,
    crop: bool | Crop = False,
    *,
    channels: int | None = None,
    background: str = "white",
    max_pixels: int = MAX_PIXELS,
) -> Tensor:
    """An image file as pixels (1, C, H, W), float32 in [0, 1]: RGB, or the channels of a file that has others.

    Photos of any format are RGB, gray ones too. A TIFF of several bands (in one page, or in pages of one size) and a
    NumPy array (.npy; (H, W), (H, W, C) or (C, H, W)) have the channels that they have. Their integers are divided by
    the largest of their type, so that a uint16 of 65535 is 1; floats must be in [0, 1].

    Args:
        source: A path, or the bytes of a file.
        size: In pixels. None keeps the size; a number becomes the shorter side, the aspect ratio kept; (H, W) is the
            size of the result.
        crop: True resizes the shorter side to ``size * 256 / 224`` and cuts the central square of ``size`` out, as
            most ImageNet networks are evaluated; ``network.spec.crop`` does it as for that network.
        channels: The number of channels that is wanted, such as ``network.spec.channels``. 1 is gray (luma); 4 keeps
            the transparency of a PNG as the fourth channel, and all four bands of a TIFF, of which a photo has three.
        background: The color of transparent pixels: a name like ``white`` or a code like ``#ffcc00``.
        max_pixels: Larger images are refused before they are decoded.

    Raises:
        ImageError: no such file, or one that is no image, damaged or too large, or has other channels than wanted; a
            .npy with Python objects, or values outside [0, 1].
        UsageError: no such size or color.

    Example:
        >>> import cnnviz, numpy, tempfile
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> tuple(pixels.shape), pixels.dtype
        ((1, 3, 64, 96), torch.float32)
        >>> path = f"{tempfile.mkdtemp()}/scene.npy"
        >>> numpy.save(path, numpy.full((100, 120, 4), 128, numpy.uint8))
        >>> cnnviz.read_image(path, size=50).shape
        torch.Size([1, 4, 50, 60])
    """
    from cnnviz.imaging.pixel_ops import luminance

    decoded = read_decoded(source, channels, background=background, max_pixels=max_pixels)
    if isinstance(decoded, Bands) and channels is None and decoded.count == 1:
        channels = 3
    if channels is not None:
        decoded = fit_channels(decoded, channels, display_name(source))
    pixels = to_pixels(decoded, size, crop)
    return luminance(pixels) if channels == 1 and pixels.shape[1] == 3 else pixels


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
    """Write an image, animation or video to a file, atomically; returns its path.

    Args:
        image: A PIL image; pixels (1, 3, H, W) in [0, 1]; or a list of either, the frames of an animation or video.
        path: Its extension gives the format: .png, .jpg, .webp, .tif, .gif, .pdf or .mp4.
        recipe: What made the image, any JSON object, stored in the file's metadata.
        force: Replace an existing file. A link is replaced itself, not what it points to.
        format: The format, instead of the extension.
        quality: Of JPEG, WebP and MP4, 1 to 100.
        duration: Milliseconds per frame.

    Raises:
        ImageError: the file exists (without ``force``), its folder does not, or the disk is full.
        UsageError: an unknown extension, or pixels outside [0, 1].

    Example:
        >>> import cnnviz, tempfile
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.write_image(1 - pixels, f"{tempfile.mkdtemp()}/negative.png", {"command": "negative"}).name
        'negative.png'
    """
    target = Path(path)
    if target.suffix.lower() == MP4 and format is None:
        require_target(target, force)
        frames = list(image) if isinstance(image, Sequence) else [image]
        return write_bytes(encode_video(frames, recipe, duration=duration, quality=quality), target, force=force)
    kind = format or format_of(target).lower()
    require_target(target, force)
    return write_bytes(encode(image, kind, recipe, quality, duration=duration), target, force=force)


@dataclass(frozen=True)
class ByteChunks:
    """The content of a file too large for memory: ``make`` returns an iterator over all its chunks."""

    make: Callable[[], Iterator[bytes]]

    def __iter__(self) -> Iterator[bytes]:
        return self.make()


def write_bytes(content: bytes | ByteChunks, path: str | Path, *, force: bool = False) -> Path:
    """Write any file atomically; returns its path.

    Raises ImageError if it exists (without ``force``), its folder does not, or the disk is full.
    """
    target = Path(path)
    require_target(target, force)
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
    """Check before any work that a file can be written; returns the folders known to be writable.

    Args:
        target: The file to be written; its folder may be missing, if it can be made.
        probed: Folders that were checked already.

    Raises ImageError if the name is that of a folder or device, or no file can be made in its folder.
    """
    folder = target.parent
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not os.path.isdir(folder):  # noqa: PTH112
        raise ImageError(
            f"The folder {display_name(target.parent)} cannot be made: {display_name(folder)} is not a folder."
        )
    if folder == target.parent and os.path.lexists(target):
        require_target(target, force=True)
    if folder in probed:
        return probed
    temporary = temporary_path(folder)
    try:
        temporary.open("xb").close()
        temporary.unlink()
    except OSError as error:
        raise ImageError(f"{display_name(target)} cannot be written: {os_error_text(error)}.") from error
    return probed | {folder}


def require_target(target: Path, force: bool) -> None:
    """Raise ImageError for an existing file, a missing folder, or a device, before the work is done."""
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
