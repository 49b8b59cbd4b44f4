"""What a file is that cannot be read as an image, by its first bytes or by the tags of a TIFF."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from typing import Any, BinaryIO, NamedTuple

from PIL import Image

RAW_SUFFIXES = frozenset(
    {".dng", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".srf", ".sr2", ".raf", ".orf", ".rw2"}
    | {".pef", ".srw", ".x3f", ".3fr", ".iiq", ".erf", ".kdc", ".mrw"}
)
UNREADABLE_SUFFIXES = RAW_SUFFIXES | {".heic", ".heif", ".hif", ".jxl", ".exr", ".hdr"}
"""The extensions, in lower case, of images that are not read, or only with a plugin: each of them in a folder is an
error, while files of other types are skipped."""


class Description(NamedTuple):
    """What a file is, to follow its name in a sentence, and the remedy of the error that says so."""

    text: str
    remedy: str = ""


_HEIF = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_DEVELOP = "develop it to JPEG, PNG or TIFF first"
_DRAWING = "is a drawing ({}), not an image made of pixels; convert it to PNG first"
_CR2 = rb"II\*\0....CR"
_SIGNATURES: tuple[tuple[bytes, Description], ...] = (
    (rb"....ftypcrx ", Description(f"is a raw photo (CR3); {_DEVELOP}")),
    (_CR2, Description(f"is a raw photo (CR2); {_DEVELOP}")),
    (rb"FUJIFILMCCD-RAW", Description(f"is a raw photo (RAF); {_DEVELOP}")),
    (rb"II(RO|RS)|MMOR", Description(f"is a raw photo (ORF); {_DEVELOP}")),
    (rb"IIU\0", Description(f"is a raw photo (RW2); {_DEVELOP}")),
    (rb"....ftypavi[fs]", Description("is an AVIF image, damaged or of a kind that this Pillow does not read")),
    (rb"....ftyp", Description("is a video, not an image", remedy="mp4_commands")),
    (rb"\x1aE\xdf\xa3", Description("is a video, not an image", remedy="video_command")),
    (
        rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg",
        Description(_DRAWING.format("SVG")),
    ),
    (rb"%PDF", Description(_DRAWING.format("PDF"))),
    (rb"v/1\x01", Description("is an OpenEXR image, which is not read; save it as PNG first")),
    (rb"#\?(RADIANCE|RGBE)", Description("is a Radiance HDR image, which is not read; save it as PNG first")),
    (rb"8BPS", Description("is a Photoshop file, damaged or without a flattened image; save it as PNG first")),
    (rb"gimp xcf", Description("is a GIMP file, which is not read; export it as PNG first")),
    (rb"AT&TFORM", Description("is a DjVu document, not an image")),
    (rb".{128}DICM", Description("is a DICOM file, which is not read; save it as PNG first")),
    (rb"\x93NUMPY", Description("is a NumPy array, not an image; save it as PNG first")),
    (rb"\x89HDF|GRIB|BUFR", Description("is a file of measurements (HDF5, GRIB or BUFR), not an image")),
    (
        rb"version https://git-lfs",
        Description("is a pointer of Git LFS, not the image itself; 'git lfs pull' fetches that"),
    ),
    (rb"\x1f\x8b|PK\x03\x04|7z\xbc\xaf|Rar!", Description("is a compressed archive, not an image; unpack it first")),
    (rb"\s*<(!doctype html|html)", Description("is a web page, not an image")),
)
_PLUGINS = {
    "HEIC": ("pillow_heif", "pillow-heif"),
    "JPEG XL": ("pillow_jxl", "pillow-jxl-plugin"),
}


def plugin_for(start: bytes) -> str | None:
    """The name of the format that a plugin of Pillow reads, by a file's first bytes; None if there is none."""
    if start[4:8] == b"ftyp" and start[8:12] in _HEIF:
        return "HEIC"
    return "JPEG XL" if start.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")) else None


def load_plugin(kind: str) -> bool:
    """Whether the plugin for a format is installed; Pillow reads the format from then on."""
    try:
        plugin = __import__(_PLUGINS[kind][0])
    except ImportError:
        return False
    if kind == "HEIC":
        plugin.register_heif_opener()
    return True


def describe_file(start: bytes) -> Description | None:
    """What a file is by its first bytes (a few hundred); None if they do not tell."""
    kind = plugin_for(start)
    if kind is not None and find_spec(_PLUGINS[kind][0]):
        return Description(f"is a {kind} image, damaged or of a kind that its plugin does not read")
    if kind is not None:
        package = _PLUGINS[kind][1]
        return Description(f"is a {kind} image, which is read once its plugin is installed: pip install {package}")
    return next((found for pattern, found in _signatures() if pattern.match(start)), None)


@cache
def _signatures() -> list[tuple[re.Pattern[bytes], Description]]:
    """The patterns of ``_SIGNATURES``, compiled once and not for each file."""
    return [(re.compile(pattern, re.DOTALL | re.IGNORECASE), found) for pattern, found in _SIGNATURES]


def describe_raw_preview(image: Image.Image, start: bytes) -> Description | None:
    """What an opened TIFF is if it is the preview inside a camera's raw file; None if it is not."""
    tags: Any = getattr(image, "tag_v2", {})
    if 50706 in tags:  # DNGVersion
        return Description(f"is a raw photo (DNG), of which only the preview could be read; {_DEVELOP}")
    is_preview = tags.get(254) == 1 and 330 in tags  # NewSubfileType: reduced; SubIFDs: the photo itself
    if is_preview or re.match(_CR2, start, re.DOTALL):
        return Description(f"is a raw photo, of which only the preview could be read; {_DEVELOP}")
    return None


_SAMPLES = {1: "whole numbers", 2: "signed numbers", 3: "floats", 5: "complex numbers", 6: "complex numbers"}
_SENSORS = (32803, 34892)  # photometric interpretations: a color filter array, and the same in linear light
_COMPRESSIONS = (1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34676, 34677, 34925, 50000, 50001)
"""The compressions that Pillow reads, by their numbers in TIFF."""


def describe_tiff(file: BinaryIO) -> Description | None:
    """What a TIFF is that Pillow does not read; None if its tags cannot be read either."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    try:
        header = file.read(8)
        tags = ImageFileDirectory_v2(header + file.read(8) if header[2] == 43 else header)
        file.seek(tags.next)
        tags.load(file)
        bits, samples = tags[258], int(tags.get(277, 1))
        if 50706 in tags or tags.get(262) in _SENSORS:
            return Description(f"is a raw photo; {_DEVELOP}")
        kind = _SAMPLES.get(tags.get(339, (1,))[0], "samples")
        if tags.get(259, 1) not in _COMPRESSIONS:
            return Description(f"is a TIFF of a compression that is not read ({int(tags[259])}); save it with another")
        depth = f"{samples} × {int(bits[0])}-bit {kind}"
        return Description(f"is a TIFF of {depth} for each pixel, which is not read; save it as 8-bit RGB")
    except Exception:  # damaged: the caller has a sentence for that
        return None
