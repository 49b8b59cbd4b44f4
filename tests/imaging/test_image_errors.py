"""Every bad input is refused in one sentence that names it: no warning, no traceback, no half picture."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnviz.errors import ImageError, UsageError
from cnnviz.imaging.image_io import read_pil_image
from cnnviz.imaging.image_reading import display_name

CUTS = (0.1, 0.5, 0.95)


def picture() -> Image.Image:
    ramp = np.add.outer(np.arange(40), 3 * np.arange(50))[..., None] * np.array([1, 2, 3])
    return Image.fromarray((ramp % 256).astype(np.uint8))


def saved(format: str, **options) -> bytes:
    buffer = BytesIO()
    picture().save(buffer, format, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes, damage: int = 0) -> bytes:
    check = zlib.crc32(name + data) ^ damage
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)


def png(width: int, height: int, *, extra: bytes = b"", damage: int = 0, rows: int | None = None) -> bytes:
    """A grey PNG, made by hand so that it can be wrong."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * (width + 1) * (height if rows is None else rows))
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", data, damage) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def flipped(content: bytes, at: float) -> bytes:
    index = int(len(content) * at)
    return content[:index] + bytes([content[index] ^ 0xFF]) + content[index + 1 :]


def bmp_of_no_height() -> bytes:
    content = bytearray(saved("BMP"))
    content[22:26] = bytes(4)
    return bytes(content)


CONTENTS = {
    "empty": b"",
    "text": b"This is no picture at all, whatever its name says.\n",
    "html": b"<!doctype html><title>404 Not Found</title>",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "pdf": b"%PDF-1.7\n1 0 obj\n",
    "zeros": bytes(5000),
    "noise": np.random.default_rng(0).bytes(5000),
    "zip": b"PK\x03\x04" + bytes(200),
    "pickle": b"\x80\x04\x95" + bytes(200),
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n",
    "one byte": b"\x89",
    "png signature": b"\x89PNG\r\n\x1a\n",
    "png header only": png(8, 8)[:33],
    "png of no width": png(0, 8),
    "png of no height": png(8, 0),
    "png bomb": png(60_000, 60_000, rows=1),
    "png wide bomb": png(2**31 - 1, 1, rows=0),
    "png bad sum": png(8, 8, damage=1),
    "png bad sum before the pixels": png(8, 8, extra=chunk(b"gAMA", struct.pack(">I", 45455), 1)),
    "png huge text": png(8, 8, extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(80_000_000)))),
    "png without pixels": png(8, 8, rows=0)[:33] + chunk(b"IEND", b""),
    "png damaged pixels": flipped(saved("PNG"), 0.6),
    "jpeg start": b"\xff\xd8\xff\xe0",
    "jpeg without a picture": b"\xff\xd8\xff\xd9",
    "gif header only": saved("GIF")[:13],
    "webp header only": saved("WEBP")[:12],
    "webp damaged": flipped(saved("WEBP", lossless=True), 0.2),
    "tiff header only": saved("TIFF")[:8],
    "tiff lost directory": b"II*\0\xff\xff\xff\x7f",
    "bmp of no height": bmp_of_no_height(),
    "ppm absurd": b"P6 -5 10 255\n" + bytes(150),
}
for _format in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM"):
    for _cut in CUTS:
        _whole = saved(_format)
        CONTENTS[f"{_format.lower()} cut at {_cut}"] = _whole[: int(len(_whole) * _cut)]


def refusal(source, **options) -> str:
    """The message of the refusal, after a look at its form."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", module=r"PIL\b")  # as the command line does
        with pytest.raises(ImageError) as caught:
            read_pil_image(source, **options)
    message = str(caught.value)
    assert message.startswith(display_name(source))
    assert message.endswith(".")
    assert message.isprintable()
    assert "object at 0x" not in message
    return message


@pytest.mark.parametrize("kind", CONTENTS)
def test_bad_content_is_refused_from_file_and_from_memory(tmp_path: Path, kind: str):
    path = tmp_path / "photo.png"
    path.write_bytes(CONTENTS[kind])
    assert refusal(path).removeprefix(display_name(path)) == refusal(CONTENTS[kind]).removeprefix("<stdin>")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF"])
def test_a_cut_picture_is_whole_or_refused(format: str):
    whole = saved(format)
    pixels = read_pil_image(whole).tobytes()
    for cut in range(1, len(whole), max(1, len(whole) // 60)):
        try:
            assert read_pil_image(whole[:cut]).tobytes() == pixels
        except ImageError:
            continue


def test_messages_say_what_is_the_matter(tmp_path: Path):
    assert "zero bytes" in refusal(b"")
    assert "not an image" in refusal(CONTENTS["text"])
    assert "begins like an image" in refusal(CONTENTS["png signature"])
    assert "cut short" in refusal(CONTENTS["jpeg cut at 0.5"])
    assert "does not exist" in refusal(tmp_path / "missing.png")
    assert "folder" in refusal(tmp_path)
    assert "drawing" in refusal(CONTENTS["postscript"])


def test_paths_that_are_no_files(tmp_path: Path):
    (tmp_path / "file.png").write_bytes(saved("PNG"))
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert "does not exist" in refusal(tmp_path / "file.png" / "inside.png")
    assert "does not exist" in refusal(str(tmp_path / "nowhere.png"))
    assert "cannot be read" in refusal(tmp_path / "loop.png")
    assert "cannot be read" in refusal(tmp_path / ("long" * 100 + ".png"))
    assert "cannot be the name" in refusal("a\0b.png")
    assert r"two\nlines" in refusal(tmp_path / "two\nlines.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.timeout(10)
def test_a_pipe_or_device_is_refused_without_waiting_for_it(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.png")
    assert "is a pipe or device, not a file" in refusal(tmp_path / "pipe.png")
    assert "device" in refusal(os.devnull)


def test_no_permission_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "secret.png"
    path.write_bytes(saved("PNG"))

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Image, "open", refuse)
    assert "cannot be read: permission denied" in refusal(path)


def test_the_limit_on_pixels_is_checked_before_decoding():
    message = refusal(saved("PNG"), max_pixels=1999)
    assert "50 × 40 = 2,000 pixels" in message
    assert "1,999" in message
    assert "--max-pixels" not in message
    assert read_pil_image(saved("PNG"), max_pixels=2000).size == (50, 40)
    assert "3,600,000,000 pixels" in refusal(CONTENTS["png bomb"])
    assert "60000 × 60000" in refusal(CONTENTS["png bomb"], max_pixels=3_599_999_999)


def test_pillows_own_limit_gives_way_for_one_reading_only(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    filters = list(warnings.filters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_pil_image(saved("PNG")).size == (50, 40)
    assert Image.MAX_IMAGE_PIXELS == 500
    assert warnings.filters == filters
    with pytest.raises(Image.DecompressionBombError):
        Image.open(BytesIO(saved("PNG")))


def test_arguments_that_make_no_sense():
    with pytest.raises(UsageError, match="no color 'whiet'"):
        read_pil_image(saved("PNG"), background="whiet")
    with pytest.raises(UsageError, match="positive"):
        read_pil_image(saved("PNG"), max_pixels=0)


def test_a_bomb_is_refused_where_warnings_are_errors() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match="3,600,000,000 pixels"):
            read_pil_image(CONTENTS["png bomb"], max_pixels=3_599_999_999)
