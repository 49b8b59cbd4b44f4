"""Files that cannot be read as pictures are named for what they are; what only looks odd is read as it is meant."""

from __future__ import annotations

import struct
import sys
import tracemalloc
import types
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from cnnviz.errors import ImageError
from cnnviz.imaging import file_types, image_reading
from cnnviz.imaging.color import to_srgb
from cnnviz.imaging.image_io import read_pil_image

RAMP = np.linspace(0, 1, 20 * 30).reshape(20, 30)
WIDTH, HEIGHT = 30, 20


def refusal(content: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        read_pil_image(content)
    assert str(caught.value).isprintable()
    return str(caught.value)


def tiff(data: bytes, bits: int, samples: int = 1, **tags: int) -> bytes:
    """A TIFF made by hand; ``tags`` by their numbers, as ``t339=3``."""
    facts = {256: WIDTH, 257: HEIGHT, 258: bits, 259: 1, 262: 1 if samples == 1 else 2, 277: samples, 278: HEIGHT}
    facts |= {279: len(data), 273: 0} | {int(name[1:]): value for name, value in tags.items()}
    start = 8 + 2 + 12 * len(facts) + 4
    facts[273] = start + 2 * samples
    entries = b""
    for tag, value in sorted(facts.items()):
        if tag == 258 and samples > 2:
            entries += struct.pack("<HHII", tag, 3, samples, start)
        else:
            entries += struct.pack("<HHII", tag, 4, 1, value)
    body = struct.pack("<H", len(facts)) + entries + bytes(4) + struct.pack(f"<{samples}H", *[bits] * samples)
    return b"II*\0" + struct.pack("<I", 8) + body + data


def packed(values: np.ndarray) -> bytes:
    """Twelve-bit numbers, two in three bytes."""
    bits = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(-1, 2), axis=1)[:, 4:]
    return np.packbits(bits.reshape(-1)).tobytes()


STARTS = {
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "JPEG XL": b"\xff\x0a",
    "CR3": b"\0\0\0\x18ftypcrx ",
    "CR2": b"II*\0\x10\0\0\0CR\2\0",
    "RAF": b"FUJIFILMCCD-RAW ",
    "ORF": b"IIRO\x08\0\0\0",
    "RW2": b"IIU\0\x18\0\0\0",
    "video": b"\0\0\0\x18ftypisom",
    "SVG": b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "PDF": b"%PDF-1.7",
    "OpenEXR": b"v/1\x01",
    "Radiance": b"#?RADIANCE\n",
    "Photoshop": b"8BPS\0\1",
    "GIMP": b"gimp xcf v011",
    "DICOM": bytes(128) + b"DICM",
    "NumPy": b"\x93NUMPY",
    "HDF5": b"\x89HDF\r\n\x1a\n",
    "GRIB": b"GRIB\0\0\0\1",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\n",
    "archive": b"PK\x03\x04",
    "web page": b"<!DOCTYPE html>",
}


@pytest.mark.parametrize("kind", STARTS)
def test_a_file_is_named_for_what_it_is(monkeypatch: pytest.MonkeyPatch, kind: str):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    monkeypatch.setattr(file_types, "find_spec", lambda name: None)
    assert kind in refusal(STARTS[kind] + bytes(300))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (tiff(bytes(4 * 3 * 600), 32, 3, t339=3), "3 × 32-bit floats"),
        (tiff(bytes(8 * 600), 64, t339=3), "1 × 64-bit floats"),
        (tiff(bytes(2 * 600), 16, t339=3), "1 × 16-bit floats"),
        (tiff(bytes(900 * 3), 12, 3), "3 × 12-bit whole numbers"),
        (tiff(bytes(8 * 600), 64, t339=6), "complex numbers"),
        (tiff(bytes(5 * 600), 8, 5), "5 × 8-bit"),
        (tiff(bytes(100), 8, 3, t259=34892), "compression that is not read (34892)"),
        (tiff(bytes(2 * 600), 16, t262=32803), "raw photo"),
        (tiff(bytes(3 * 600), 8, 3, t50706=0x0401), "raw photo (DNG), of which only the preview"),
        (tiff(bytes(3 * 600), 8, 3, t254=1, t330=8), "raw photo, of which only the preview"),
    ],
)
def test_a_tiff_that_is_not_read_is_described(content: bytes, words: str):
    assert words in refusal(content)


def test_twelve_bits_reach_white():
    """Pillow hands out 0 to 4095, which would be all but black if taken as sixteen bits."""
    photo = np.asarray(read_pil_image(tiff(packed(np.rint(RAMP * 4095)), 12)))
    assert np.abs(photo[..., 0] - RAMP * 255).max() <= 1


@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (255, 0), (1e30, -1e29)])
def test_floats_are_scaled_as_documented(scale: float, offset: float):
    """Within [0, 1] as they are, else from the least to the largest; no number at all is black."""
    values = (RAMP * scale + offset).astype("<f4")
    photo = np.asarray(read_pil_image(tiff(values.tobytes(), 32, t339=3)))
    assert np.abs(photo[..., 0] - RAMP * 255).max() <= 1
    dark = np.asarray(read_pil_image(tiff((RAMP.astype("<f4") * np.nan).tobytes(), 32, t339=3)))
    assert dark.max() == 0


def png(info: PngImagePlugin.PngInfo | None = None, **options) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.rint(RAMP * 255).astype(np.uint8)).save(buffer, "PNG", pnginfo=info, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("zipped", [True, False])
def test_texts_of_many_megabytes_do_no_harm(zipped: bool):
    info = PngImagePlugin.PngInfo()
    for number in range(3):
        info.add_text(f"text{number}", "abcdefg " * 300_000, zip=zipped)
        info.add_itxt(f"more{number}", "abcdefg " * 300_000, zip=zipped)
    limits = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
    assert read_pil_image(png(info)).tobytes() == read_pil_image(png()).tobytes()
    assert limits == (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY)


def test_a_color_profile_of_megabytes_does_no_harm():
    noise = np.random.default_rng(0).bytes(3 << 20)
    assert read_pil_image(png(icc_profile=noise)).tobytes() == read_pil_image(png()).tobytes()


def test_a_text_that_is_a_bomb_is_named():
    info = PngImagePlugin.PngInfo()
    info.add_text("bomb", "a" * (65 << 20), zip=True)
    assert "more than 64 MiB of text or color profile" in refusal(png(info))


def test_a_plugin_that_is_installed_is_used(monkeypatch: pytest.MonkeyPatch):
    """One that reads what begins as HEIC does, in place of the real one."""

    def register() -> None:
        def accept(start: bytes) -> bool:
            return start[4:12] == b"ftypheic"

        def read(file: object, name: object) -> Image.Image:
            made = Image.new("RGB", (3, 2), "red")
            made.format = "HEIC-TEST"
            return made

        Image.register_open("HEIC-TEST", read, accept)  # type: ignore[arg-type]

    monkeypatch.setitem(sys.modules, "pillow_heif", types.SimpleNamespace(register_heif_opener=register))
    monkeypatch.setattr(image_reading, "_tried_plugins", set())
    try:
        assert read_pil_image(STARTS["HEIC"] + bytes(300)).getpixel((0, 0)) == (255, 0, 0)
    finally:
        Image.OPEN.pop("HEIC-TEST", None)
        Image.ID.remove("HEIC-TEST")


def test_in_a_folder_pictures_that_are_not_read_are_told_of_and_other_files_passed_over(run_cnnviz, tmp_path: Path):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (64, 64), "red").save(tmp_path / "photos" / "a.png")
    for name in ("b.HEIC", "c.dng", "d.jxl", "notes.txt", "drawing.svg", "list.json"):
        (tmp_path / "photos" / name).write_bytes(b"no matter what")
    result = run_cnnviz("classify", "photos", "-m", "squeezenet1_1", "-v")
    assert result.exit_code == 1
    assert result.stdout.count("a.png") == 1
    told = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert [name for name in ("b.HEIC", "c.dng", "d.jxl") if any(name in line for line in told)] == [
        "b.HEIC",
        "c.dng",
        "d.jxl",
    ]
    assert len(told) == 3
    assert "3 files in 'photos' are no images and are skipped" in result.stderr


def test_deep_samples_are_scaled_a_strip_at_a_time():
    """A whole picture in float64 took 30 bytes for each pixel."""
    picture = Image.fromarray(np.add.outer(np.arange(4000), np.arange(2000)).astype(np.uint16) * 10)
    tracemalloc.start()
    scaled = np.asarray(to_srgb(picture, (255, 255, 255)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 4000 * 2000
    assert np.abs(scaled[..., 0] - np.asarray(picture) / 257).max() <= 0.5
