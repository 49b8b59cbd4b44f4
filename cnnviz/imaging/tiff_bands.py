"""Reading the bands of a TIFF, of any number and depth: those of one page, or of several pages of one size.

Pillow reads TIFFs as photos, of one to four channels of eight bits. Here its decompressors get each page as
a gray image of bytes, and the bytes are made numbers again.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from cnnviz.errors import CnnvizError, ImageError
from cnnviz.imaging.bands import Bands, scaled
from cnnviz.imaging.image_reading import FileSource, display_name, pillow_limits, too_large

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_ORIENTATION, _SAMPLES, _ROWS, _PLANAR, _PREDICTOR = 274, 277, 278, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _EXTRA, _KIND, _SUBFILE = 322, 323, 338, 339, 254
_PARTS = ((273, 279), (324, 325))
"""The tags of the offsets and lengths of strips, and of tiles."""

_TAGS = (
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION, _SAMPLES, _ROWS, _PLANAR, _PREDICTOR),
    *(_TILE_WIDTH, _TILE_HEIGHT, _EXTRA, _KIND, _SUBFILE, *_PARTS[0], *_PARTS[1]),
)
_GRAY, _RGB, _ALPHA = (0, 1), 2, (1, 2)
_READ = (1, 5, 8, 32773, 32946, 34925, 50000)
"""The compressions that work on bytes, whatever these mean."""

_DIFFERENCES, _FLOAT_DIFFERENCES = 2, 3
_KINDS = {1: "u", 2: "i", 3: "f"}
_MOST_PAGES = 10_000
_BIG = 43  # the version of BigTIFF
_LONG = 4  # the type of numbers of 32 bits


def is_tiff(start: bytes) -> bool:
    """Whether a file that begins so is a TIFF."""
    return start[:4] in (b"II*\0", b"MM\0*", b"II+\0")


def holds_bands(source: FileSource) -> bool:
    """Whether a TIFF has several bands and does not say that they are colors."""
    try:
        with BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file:
            first = next(_pages(file))
        is_alpha = first.samples == 2 and first.number(_EXTRA, 0) in _ALPHA
        return first.number(_PHOTOMETRIC) in _GRAY and first.samples > 1 and not is_alpha
    except Exception:  # damaged: whoever reads it says so
        return False


def read_tiff_bands(source: FileSource, channels: int | None, max_pixels: int) -> Bands | None:
    """The bands of a TIFF; None where it holds none, but a photo (CMYK, a palette, YCbCr …), which Pillow reads.

    Args:
        source: The path of the file, or its bytes.
        channels: The number that is wanted. Where the first page has another, all pages of its size are taken
            together, if they have one size.
        max_pixels: Larger images are refused by their tags.

    Raises ImageError for damaged files, and for depths and compressions that are not read.
    """
    name = display_name(source)
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        pages = list(_pages(BytesIO(content)))
        if not pages or not all(page.is_plain for page in pages):
            return None
        chosen = _chosen(pages, channels)
        count = sum(page.samples * page.width * page.height for page in chosen)
        if count > 3 * max_pixels:
            raise too_large(f"{name} holds {count:,} values", 3 * max_pixels)
        bands = [_decoded(content, page, name) for page in chosen]
    except CnnvizError:
        raise
    except MemoryError as error:
        raise ImageError(f"{name} is too large for this machine's memory.") from error
    except Exception as error:  # tags and strips of damaged files raise exceptions of every kind
        raise ImageError(f"{name} is damaged or cut short and cannot be read whole.") from error
    return Bands(np.concatenate(bands))


@dataclass(frozen=True)
class _Page:
    """A page by its tags."""

    tags: Any
    order: str

    def number(self, tag: int, usual: int = 1) -> int:
        value = self.tags.get(tag, usual)
        return int(value[0] if isinstance(value, tuple) else value)

    @property
    def width(self) -> int:
        return self.number(_WIDTH)

    @property
    def height(self) -> int:
        return self.number(_HEIGHT)

    @property
    def samples(self) -> int:
        return self.number(_SAMPLES)

    @property
    def is_plain(self) -> bool:
        """Whether each sample is a channel's value."""
        return self.number(_PHOTOMETRIC) in (*_GRAY, _RGB)

    @property
    def is_separate(self) -> bool:
        """Whether the bands lie one after another."""
        return self.number(_PLANAR) == 2 and self.samples > 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a sample, in the file's order of bytes; ImageError is for the caller where there is none."""
        return np.dtype(f"{self.order}{_KINDS[self.number(_KIND)]}{self.number(_BITS) // 8}")

    @property
    def is_tiled(self) -> bool:
        return _TILE_WIDTH in self.tags

    @property
    def parts(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The offsets and lengths of the strips or tiles."""
        found = (self.tags[tag] for tag in _PARTS[self.is_tiled])
        first, second = (value if isinstance(value, tuple) else (value,) for value in found)
        return first, second

    @property
    def block(self) -> tuple[int, int]:
        """Width and height of what is compressed together."""
        if self.is_tiled:
            return self.number(_TILE_WIDTH), self.number(_TILE_HEIGHT)
        return self.width, min(self.number(_ROWS, self.height), self.height)


def _pages(file: BinaryIO) -> Iterator[_Page]:
    """The pages, without the reduced copies and masks of others."""
    header = file.read(16)
    directory = ImageFileDirectory_v2(header if header[2] == _BIG else header[:8])
    order = "<" if header.startswith(b"II") else ">"
    seen: set[int] = set()
    while directory.next and directory.next not in seen and len(seen) < _MOST_PAGES:
        seen.add(directory.next)
        file.seek(directory.next)
        directory.load(file)
        if _WIDTH not in directory:
            raise ValueError("a page without a size")
        page = _Page({tag: directory[tag] for tag in _TAGS if tag in directory}, order)
        if not page.number(_SUBFILE, 0) & 5:
            yield page


def _chosen(pages: list[_Page], channels: int | None) -> list[_Page]:
    """The first page, or all, where they have one size and the first has another number of bands than wanted."""
    first = pages[0]
    one_size = len({(page.width, page.height) for page in pages}) == 1
    together = channels not in (None, first.samples) and one_size
    return pages if together else [first]


def _decoded(content: bytes, page: _Page, name: str) -> NDArray[np.float32]:
    """The bands of a page (C, H, W), upright, in [0, 1]."""
    bits, compression = page.number(_BITS), page.number(_COMPRESSION)
    is_mixed = any(len(set(np.atleast_1d(page.tags.get(tag, 1)).tolist())) > 1 for tag in (_BITS, _KIND))
    if is_mixed or page.number(_KIND) not in _KINDS or bits not in (8, 16, 32, 64):
        raise ImageError(f"{name} is a TIFF of {page.samples} × {bits} bits for each pixel, which is not read.")
    if compression not in _READ:
        raise ImageError(f"{name} is a TIFF of a compression that is not read for bands ({compression}).")
    values = scaled(_samples(content, page), name)
    if page.number(_PHOTOMETRIC) == 0:  # white is zero
        values = 1 - values
    return np.ascontiguousarray(_upright(values, page.number(_ORIENTATION)))


def _upright(values: NDArray[np.float32], orientation: int) -> NDArray[np.float32]:
    """Bands (C, H, W) as they are to be seen, by EXIF's orientation 1 to 8."""
    if orientation in (5, 6, 7, 8):
        values = values.transpose(0, 2, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, :, ::-1]
    return values[:, ::-1] if orientation in (3, 4, 7, 8) else values


def _samples(content: bytes, page: _Page) -> NDArray[Any]:
    """The numbers of a page (C, H, W), as they are in the file."""
    offsets, lengths = page.parts
    planes = page.samples if page.is_separate else 1
    each = len(offsets) // planes
    found = []
    for plane in range(planes):
        part = slice(plane * each, (plane + 1) * each)
        found.append(_plane(content, page, offsets[part], lengths[part], page.samples // planes))
    return np.concatenate(found)


def _plane(
    content: bytes, page: _Page, offsets: tuple[int, ...], lengths: tuple[int, ...], samples: int
) -> NDArray[Any]:
    """The numbers (C, H, W) of ``samples`` bands that are stored pixel by pixel."""
    wide, high = page.block
    across, down = math.ceil(page.width / wide), math.ceil(page.height / high)
    width, height = across * wide, down * high if page.is_tiled else page.height
    bytes_each = page.dtype.itemsize * samples
    rows = _bytes(content, page, offsets, lengths, width * bytes_each, height, wide * bytes_each, high)
    blocks = rows.reshape(height, across, wide * bytes_each)
    values = _without_predictor(blocks, page, samples).reshape(height, width, samples)
    return values[: page.height, : page.width].transpose(2, 0, 1)


def _bytes(
    content: bytes,
    page: _Page,
    offsets: tuple[int, ...],
    lengths: tuple[int, ...],
    width: int,
    height: int,
    wide: int,
    high: int,
) -> NDArray[np.uint8]:
    """The decompressed bytes (height, width), by Pillow from a TIFF of the same strips that is gray."""
    tags: dict[int, Sequence[int]] = {tag: [1] for tag in (_PHOTOMETRIC, _SAMPLES)}
    tags |= {_WIDTH: [width], _HEIGHT: [height], _BITS: [8], _COMPRESSION: [page.number(_COMPRESSION)]}
    tags |= {_TILE_WIDTH: [wide], _TILE_HEIGHT: [high]} if page.is_tiled else {_ROWS: [high]}
    data = [content[start : start + length] for start, length in zip(offsets, lengths, strict=True)]
    gray = _tiff(page.order, tags, data, _PARTS[page.is_tiled])
    with pillow_limits(width * height), Image.open(BytesIO(gray)) as image:
        found = np.asarray(image)
    if found.shape != (height, width):
        raise ValueError("another size than its tags say")
    return found


def _tiff(order: str, tags: dict[int, Sequence[int]], data: Sequence[bytes], places: tuple[int, int]) -> bytes:
    """A TIFF of one page, with the tags of the offsets and lengths of ``data`` in ``places``."""
    offset_tag, length_tag = places
    lengths = [len(part) for part in data]
    tags = {**tags, offset_tag: lengths, length_tag: lengths}
    start = 8 + 2 + 12 * len(tags) + 4  # of the lists of numbers, behind the directory
    lists = sum(4 * len(numbers) for numbers in tags.values() if len(numbers) > 1)
    tags[offset_tag] = [start + lists + before for before in itertools.accumulate([0, *lengths[:-1]])]
    entries, behind = b"", b""
    for tag, numbers in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(numbers)}L", *numbers)
        if len(numbers) > 1:
            packed, behind = struct.pack(f"{order}L", start + len(behind)), behind + packed
        entries += struct.pack(f"{order}HHL", tag, _LONG, len(numbers)) + packed
    version = b"II*\0" if order == "<" else b"MM\0*"
    head = version + struct.pack(f"{order}LH", 8, len(tags)) + entries + bytes(4)
    return b"".join([head, behind, *data])


def _without_predictor(blocks: NDArray[np.uint8], page: _Page, samples: int) -> NDArray[Any]:
    """The numbers of blocks of bytes (rows, blocks, bytes), each row of a block by itself, predictions undone."""
    predictor, dtype = page.number(_PREDICTOR), page.dtype
    if predictor == _FLOAT_DIFFERENCES:
        rows, across, size = blocks.shape
        sums = np.cumsum(blocks.reshape(rows, across, -1, samples), axis=2, dtype=np.uint8)
        by_byte = sums.reshape(rows, across, dtype.itemsize, size // dtype.itemsize)
        whole = np.ascontiguousarray(by_byte.transpose(0, 1, 3, 2))  # the most significant byte is first
        return whole.view(dtype.newbyteorder(">"))[..., 0].astype(dtype.newbyteorder("="))
    native = dtype.newbyteorder("=")
    values = np.ascontiguousarray(blocks).view(dtype).astype(native)
    if predictor != _DIFFERENCES:
        return values
    integers = np.dtype(f"u{dtype.itemsize}")  # differences wrap around, also those of floats
    pixels = values.view(integers).reshape(*values.shape[:2], -1, samples)
    return np.cumsum(pixels, axis=2, dtype=integers).view(native)
