"""Opening image files safely: whatever is wrong with one is an ImageError whose sentence names the file."""

from __future__ import annotations

import re
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from PIL import Image, PngImagePlugin

from cnnviz.errors import CnnvizError, ImageError, UsageError
from cnnviz.imaging.file_types import (
    Description,
    describe_file,
    describe_raw_preview,
    describe_tiff,
    load_plugin,
    plugin_for,
)

FileSource = str | Path | bytes
"""An image file: its path, or its bytes (as read from standard input)."""

MAX_PIXELS = 178_956_970
"""The default limit on the pixels of an image: half a gigabyte of RGB. Pillow refuses larger ones, too."""

_TEXT_CHUNK, _TEXT_MEMORY = 64 << 20, 256 << 20
"""The limits on the bytes of one text or color profile in a PNG, and of all its texts."""

_READABLE = "PNG, JPEG, WebP, TIFF, GIF and BMP"
_MEASUREMENTS = {"HDF5", "GRIB", "BUFR"}
_DRAWINGS = {"EPS", "WMF"}  # Pillow hands these to Ghostscript or to the system's own renderer
_HEAD = 512  # bytes that tell what a file is
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"RIFF", b"BM")


class PillowLimits:
    """Raises Pillow's own limits to those of cnnviz while images are read, and restores them afterwards.

    Pillow has them as settings of the whole process. They are raised when the first reader enters and restored when the
    last one leaves, under a lock, so that threads can read at the same time. They are never lowered or switched off.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._saved: tuple[int | None, int, int] = (None, 0, 0)

    @contextmanager
    def __call__(self, max_pixels: int) -> Iterator[None]:
        """Lets Pillow read images of up to ``max_pixels`` pixels without a warning inside the block."""
        self._enter(max_pixels)
        try:
            yield
        finally:
            self._leave()

    def _enter(self, max_pixels: int) -> None:
        with self._lock:
            if self._readers == 0:
                chunk, total = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
                self._saved = Image.MAX_IMAGE_PIXELS, chunk, total
                PngImagePlugin.MAX_TEXT_CHUNK = max(chunk, _TEXT_CHUNK)
                PngImagePlugin.MAX_TEXT_MEMORY = max(total, _TEXT_MEMORY)
            self._readers += 1
            if Image.MAX_IMAGE_PIXELS is not None:  # Pillow warns above its limit, and refuses above twice its limit
                Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)

    def _leave(self) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0:
                Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY = self._saved


pillow_limits = PillowLimits()
"""The limits of this process."""


class NamedBytes(bytes):
    """The bytes of a file that lies on another machine, with the name that messages give it."""

    name: str

    def __new__(cls, content: bytes, name: str) -> NamedBytes:
        found = super().__new__(cls, content)
        found.name = name
        return found


def read_file_bytes(path: Path) -> bytes:
    """The bytes of an image file, undecoded; ImageError if there is none, it is empty, or it cannot be read."""
    name = display_name(path)
    _check_file(path, name)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{name} cannot be read: {os_error_text(error)}.") from error


def display_name(source: FileSource) -> str:
    """The name of a file in messages: its path in quotes, odd characters escaped; ``<stdin>`` for bytes."""
    if isinstance(source, bytes) and not isinstance(source, NamedBytes):
        return "<stdin>"
    name = source.name if isinstance(source, NamedBytes) else str(source)
    return f"'{name}'" if name.isprintable() else f"'{ascii(name)[1:-1]}'"


def os_error_text(error: OSError) -> str:
    """The operating system's reason in lower case, to stand inside a sentence."""
    text = error.strerror or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]


@contextmanager
def open_image(source: FileSource, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """An image open for the length of a ``with`` block; on entry only its header has been read.

    Args:
        source: The path of the file, or its bytes.
        max_pixels: Larger images are refused by their header, before they are decoded.

    Raises ImageError for all that can be wrong with the file, also when it shows only inside the block, as while
    decoding; UsageError if ``max_pixels`` is not positive.
    """
    if max_pixels < 1:
        raise UsageError(f"The largest number of pixels must be positive, not {max_pixels}.")
    name = display_name(source)
    _check_file(source, name)
    with pillow_limits(max_pixels):
        try:
            with _open(source, name) as image:
                _check_header(image, name, max_pixels)
                _check_type(image, source, name)
                if image.format == "PNG":
                    _verify(source)
                yield image
        except CnnvizError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise _bomb(error, name, max_pixels) from error
        except MemoryError as error:
            raise ImageError(f"{name} is too large for this machine's memory.") from error
        except Exception as error:  # Pillow's decoders meet damaged files with exceptions of every kind
            raise ImageError(_damaged(error, name)) from error


def _check_file(source: FileSource, name: str) -> None:
    """Refuse what is not a file with content. Nothing is opened yet: a pipe would wait forever."""
    size = len(source) if isinstance(source, bytes) else _file_size(source, name)
    if size == 0:
        raise ImageError(f"{name} is empty (zero bytes).")


def _file_size(path: str | Path, name: str) -> int:
    try:
        status = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(f"{name} does not exist.") from error
    except OSError as error:
        raise ImageError(f"{name} cannot be read: {os_error_text(error)}.") from error
    except (ValueError, RuntimeError) as error:
        raise ImageError(f"{name} cannot be the name of a file.") from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{name} is a folder, not an image; name a file in it.")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{name} is a pipe or device, not a file.", remedy="read_stdin")
    return status.st_size


def _open(source: FileSource, name: str) -> Image.Image:
    try:
        return Image.open(BytesIO(source) if isinstance(source, bytes) else source)
    except Image.UnidentifiedImageError as error:
        kind = plugin_for(_first_bytes(source))
        if kind is not None and kind not in _tried_plugins:
            _tried_plugins.add(kind)
            if load_plugin(kind):
                return _open(source, name)
        raise _unidentified(source, name) from error
    except PermissionError as error:
        raise ImageError(f"{name} cannot be read: {os_error_text(error)}.") from error


_tried_plugins: set[str] = set()
"""The formats whose plugin has been looked for: once it is loaded, Pillow knows them."""


def first_bytes(source: FileSource) -> bytes:
    """The bytes by which a file is known; ImageError where there is no such file, or it is empty or cannot be read."""
    name = display_name(source)
    _check_file(source, name)
    try:
        return _first_bytes(source)
    except OSError as error:
        raise ImageError(f"{name} cannot be read: {os_error_text(error)}.") from error


def _first_bytes(source: FileSource) -> bytes:
    with _stream(source) as file:
        return file.read(_HEAD)


def _stream(source: FileSource) -> BinaryIO:
    return BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb")


def _check_type(image: Image.Image, source: FileSource, name: str) -> None:
    """Refuse what Pillow opens although it is not an image: a file of measurements, or the preview in a raw photo."""
    start = _first_bytes(source) if image.format in {"TIFF", *_MEASUREMENTS} else b""
    found = describe_raw_preview(image, start) if image.format == "TIFF" else describe_file(start)
    if found is not None:
        raise _not_an_image(name, found)


def _not_an_image(name: str, found: Description) -> ImageError:
    return ImageError(f"{name} {found.text}.", remedy=found.remedy)


def _unidentified(source: FileSource, name: str) -> ImageError:
    start = _first_bytes(source)
    found = describe_file(start)
    if found is None and start.startswith((b"II", b"MM")):
        with _stream(source) as file:
            found = describe_tiff(file)
    if found is not None:
        return _not_an_image(name, found)
    if start.startswith(_SIGNATURES):
        return ImageError(f"{name} is damaged or cut short: it begins like an image, but its header makes no sense.")
    return ImageError(f"{name} is not an image that can be read; {_READABLE} can.")


def _check_header(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if image.format in _MEASUREMENTS:
        return  # refused for what it is
    if image.format in _DRAWINGS:
        raise ImageError(f"{name} is a drawing ({image.format}), not an image made of pixels; convert it to PNG first.")
    if width < 1 or height < 1:
        raise ImageError(f"{name} has no pixels: it is {width} × {height}.")
    if width * height > max_pixels:
        raise too_large(f"{name} is {width} × {height} = {width * height:,} pixels", max_pixels)


def too_large(found: str, max_pixels: int) -> ImageError:
    """The error for an image of which ``found`` tells the size."""
    return ImageError(f"{found}, more than the limit of {max_pixels:,}.", remedy="max_pixels")


def _verify(source: FileSource) -> None:
    """Check the checksums of a PNG's chunks: decoding alone does not, and shows damage as wrong pixels."""
    with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as image:
        image.verify()


def _bomb(error: Exception, name: str, max_pixels: int) -> ImageError:
    """Pillow refused the image before its size was known; its message holds the number of pixels."""
    found = re.search(r"\((\d+) pixels\)", str(error))
    return too_large(
        f"{name} claims {int(found[1]):,} pixels" if found else f"{name} claims too many pixels", max_pixels
    )


def _damaged(error: Exception, name: str) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"{name} cannot be read: {os_error_text(error)}."
    if "MAX_TEXT" in str(error) or "Decompressed Data Too Large" in str(error):  # as older versions of Pillow say
        return f"{name} holds more than {_TEXT_CHUNK >> 20} MiB of text or color profile; save it without."
    is_readable = isinstance(error, OSError | SyntaxError | ValueError) and str(error).isprintable()
    detail = f" ({str(error)[:120].rstrip('.')})" if is_readable and str(error) else ""
    return f"{name} is damaged or cut short and cannot be read whole{detail}."
