"""What a file is that cannot be read as a picture: told by its first bytes, or by the tags of a TIFF."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any, BinaryIO

from PIL import Image

RAW = frozenset(
    {".dng", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".srf", ".sr2", ".raf", ".orf", ".rw2"}
    | {".pef", ".srw", ".x3f", ".3fr", ".iiq", ".erf", ".kdc", ".mrw"}
)
UNREADABLE_SUFFIXES = RAW | {".heic", ".heif", ".hif", ".jxl", ".exr", ".hdr"}
"""The extensions, in lower case, of pictures that are not read, or only with a plugin: in a folder each of them is an
error, where files of other kinds are passed over."""

_HEIF = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_RAW_REMEDY = "develop it to JPEG, PNG or TIFF first"
_DRAWING = "is a drawing ({}), not a picture of pixels; convert it to PNG first"
_CR2 = rb"II\*\0....CR"
_STARTS: tuple[tuple[bytes, str], ...] = (
    (rb"....ftypcrx ", f"is a raw photo (CR3); {_RAW_REMEDY}"),
    (_CR2, f"is a raw photo (CR2); {_RAW_REMEDY}"),
    (rb"FUJIFILMCCD-RAW", f"is a raw photo (RAF); {_RAW_REMEDY}"),
    (rb"II(RO|RS)|MMOR", f"is a raw photo (ORF); {_RAW_REMEDY}"),
    (rb"IIU\0", f"is a raw photo (RW2); {_RAW_REMEDY}"),
    (rb"....ftypavi[fs]", "is an AVIF picture, damaged or of a kind that this Pillow does not read"),
    (rb"....ftyp", "is a film; 'cnnviz fast-style apply' and 'cnnviz info' take those"),
    (rb"\x1aE\xdf\xa3", "is a film; 'cnnviz fast-style apply' takes those"),
    (rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg", _DRAWING.format("SVG")),
    (rb"%PDF", _DRAWING.format("PDF")),
    (rb"v/1\x01", "is an OpenEXR picture, which is not read; save it as PNG first"),
    (rb"#\?(RADIANCE|RGBE)", "is a Radiance HDR picture, which is not read; save it as PNG first"),
    (rb"8BPS", "is a Photoshop file, damaged or without a flattened picture; save it as PNG first"),
    (rb"gimp xcf", "is a GIMP file, which is not read; export it as PNG first"),
    (rb"AT&TFORM", "is a DjVu document, not a picture"),
    (rb".{128}DICM", "is a DICOM file, which is not read; save it as PNG first"),
    (rb"\x93NUMPY", "is a NumPy array, not a picture; save it as PNG first"),
    (rb"\x89HDF|GRIB|BUFR", "is a file of measurements (HDF5, GRIB or BUFR), not a picture"),
    (rb"version https://git-lfs", "is a pointer of Git LFS, not the picture itself; 'git lfs pull' fetches that"),
    (rb"\x1f\x8b|PK\x03\x04|7z\xbc\xaf|Rar!", "is a compressed archive, not a picture; unpack it first"),
    (rb"\s*<(!doctype html|html)", "is a web page, not a picture"),
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


def describe_file(start: bytes) -> str | None:
    """What a file is, to stand behind its name, by its first bytes (a few hundred); None if they tell nothing."""
    kind = plugin_for(start)
    if kind is not None and find_spec(_PLUGINS[kind][0]):
        return f"is a {kind} picture, damaged or of a kind that its plugin does not read"
    if kind is not None:
        return f"is a {kind} picture, which is read once its plugin is installed: pip install {_PLUGINS[kind][1]}"
    return next((words for pattern, words in _STARTS if re.match(pattern, start, re.DOTALL | re.IGNORECASE)), None)


def describe_raw_preview(picture: Image.Image, start: bytes) -> str | None:
    """What an opened TIFF is if it is the preview inside a camera's raw photo; None if it is not."""
    tags: Any = getattr(picture, "tag_v2", {})
    if 50706 in tags:  # DNGVersion
        return f"is a raw photo (DNG), of which only the preview could be read; {_RAW_REMEDY}"
    is_preview = tags.get(254) == 1 and 330 in tags  # NewSubfileType: reduced; SubIFDs: the photo itself
    if is_preview or re.match(_CR2, start, re.DOTALL):
        return f"is a raw photo, of which only the preview could be read; {_RAW_REMEDY}"
    return None


_SAMPLES = {1: "whole numbers", 2: "signed numbers", 3: "floats", 5: "complex numbers", 6: "complex numbers"}
_SENSORS = (32803, 34892)  # photometric interpretations: a color filter array, and the same in linear light


def describe_tiff(file: BinaryIO) -> str | None:
    """What a TIFF is that Pillow does not read, to stand behind its name; None if its tags cannot be read either."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    try:
        header = file.read(8)
        tags = ImageFileDirectory_v2(header + file.read(8) if header[2] == 43 else header)
        file.seek(tags.next)
        tags.load(file)
        bits, samples = tags[258], int(tags.get(277, 1))
        if 50706 in tags or tags.get(262) in _SENSORS:
            return f"is a raw photo; {_RAW_REMEDY}"
        kind = _SAMPLES.get(tags.get(339, (1,))[0], "samples")
        if tags.get(259, 1) not in _COMPRESSIONS:
            return f"is a TIFF of a compression that is not read ({int(tags[259])}); save it with another"
        depth = f"{samples} × {int(bits[0])}-bit {kind}"
        return f"is a TIFF of {depth} for each pixel, which is not read; save it as 8-bit RGB"
    except Exception:  # damaged: the caller has a sentence for that
        return None


_COMPRESSIONS = (1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34676, 34677, 34925, 50000, 50001)
"""Those that Pillow reads, by the numbers TIFF has for them."""
