"""Whatever a file holds, what is read is upright, eight-bit sRGB."""

from __future__ import annotations

import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms

from cnnviz.imaging.image_io import read_pil_image
from cnnviz.imaging.image_reading import MAX_PIXELS


def encoded(picture: Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def read(content: bytes, **options) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", module=r"PIL\b")  # as the command line does
        photo = read_pil_image(content, **options)
    assert photo.mode == "RGB"
    return np.asarray(photo).astype(int)


HELD = {  # by EXIF orientation: how the sensor saw an upright scene
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.fixture
def photo() -> Image.Image:
    """Smooth, and different in every corner."""
    y, x = np.mgrid[0:48, 0:64]
    return Image.fromarray(np.stack([x * 4, y * 5, 255 - x * 2 - y], axis=-1).astype(np.uint8))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_reads_upright(photo: Image.Image, format: str, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = photo.transpose(HELD[orientation]) if orientation in HELD else photo
    result = read(encoded(stored, format, exif=exif.tobytes()))
    assert result.shape == (48, 64, 3)
    assert np.abs(result - np.asarray(photo)).mean() < 3


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "BMP", "PPM"])
def test_lossless_formats_are_read_exactly(photo: Image.Image, format: str):
    options = {"lossless": True} if format == "WEBP" else {}
    assert (read(encoded(photo, format, **options)) == np.asarray(photo)).all()


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_not_clipped(format: str):
    ramp = np.linspace(0, 65535, 64 * 64).round().astype(np.uint16).reshape(64, 64)
    result = read(encoded(Image.fromarray(ramp), format))
    assert np.abs(result - ramp[..., None] / 257).max() <= 0.5


def test_big_endian_sixteen_bit_tiff():
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    plain = Image.frombytes("I;16B", (16, 16), ramp.astype(">u2").tobytes())
    result = read(encoded(plain, "TIFF"))
    assert np.abs(result - ramp[..., None] / 257).max() <= 0.5


def test_sixteen_bit_colour_png():
    ramp = np.linspace(0, 65535, 24).round().astype(">u2").reshape(2, 4, 3)
    rows = b"".join(b"\0" + row.tobytes() for row in ramp)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 4, 2, 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    result = read(b"\x89PNG\r\n\x1a\n" + parts)
    assert np.abs(result - ramp.astype(float) / 257).max() <= 1


def test_deep_integers_and_floats_are_stretched_or_taken_as_they_are():
    unit = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    for values in (unit, unit * 900 - 300):
        result = read(encoded(Image.fromarray(values), "TIFF"))[..., 0]
        assert np.abs(result - unit * 255).max() <= 0.51
    half = read(encoded(Image.fromarray(unit / 2), "TIFF"))[..., 0]
    assert half.max() == 128
    holes = unit.copy()
    holes[0, 0], holes[7, 7] = np.nan, np.inf
    assert read(encoded(Image.fromarray(holes), "TIFF"))[7, 7, 0] == 0
    deep = (unit * 2_000_000).astype(np.int32)
    assert np.abs(read(encoded(Image.fromarray(deep), "TIFF"))[..., 0] - unit * 255).max() <= 0.51
    assert (read(encoded(Image.fromarray(np.full((4, 4), 7.0, np.float32)), "TIFF")) == 0).all()


def test_grey_and_one_bit(photo: Image.Image):
    grey = photo.convert("L")
    assert (read(encoded(grey)) == np.asarray(grey)[..., None]).all()
    bits = photo.convert("1")
    assert (read(encoded(bits)) == np.asarray(bits)[..., None] * 255).all()


def test_alpha_is_laid_on_the_background(photo: Image.Image):
    faded = photo.copy()
    faded.putalpha(Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))))
    share = np.asarray(faded.getchannel("A"))[..., None] / 255
    for background, color in (("white", (255, 255, 255)), ("#204060", (32, 64, 96)), ("red", (255, 0, 0))):
        expected = share * np.asarray(photo) + (1 - share) * np.array(color)
        assert np.abs(read(encoded(faded), background=background) - expected).max() <= 1


def test_grey_with_alpha_premultiplied_and_palettes():
    grey = Image.merge("LA", (Image.new("L", (4, 4), 100), Image.new("L", (4, 4), 0)))
    assert (read(encoded(grey), background="blue") == [0, 0, 255]).all()
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    assert read(encoded(palette)).tolist() == [[[10, 20, 30], [200, 100, 50]]]
    one_clear = read(encoded(palette, transparency=0), background="lime")
    assert one_clear.tolist() == [[[0, 255, 0], [200, 100, 50]]]
    half_clear = read(encoded(palette, transparency=bytes([255, 0])), background="black")
    assert half_clear.tolist() == [[[10, 20, 30], [0, 0, 0]]]
    keyed = read(encoded(Image.new("RGB", (2, 2), (1, 2, 3)), transparency=(1, 2, 3)), background="white")
    assert (keyed == 255).all()


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_reads_as_its_inks_look(format: str):
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # yellow over magenta
    red = read(encoded(inks, format))[8, 8]
    assert red[0] > 200
    assert red[1:].max() < 60


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_read(format: str):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
    content = encoded(frames[0], format, save_all=True, append_images=frames[1:])
    assert np.abs(read(content) - [255, 0, 0]).max() <= 3


def test_a_profile_is_converted_and_a_broken_one_passed_over(photo: Image.Image):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = np.asarray(photo)
    assert (read(encoded(photo, icc_profile=srgb)) == plain).all()
    for broken in (b"no profile at all", srgb[:200], srgb[:-50] + bytes(50)):
        assert np.abs(read(encoded(photo, icc_profile=broken)) - plain).max() <= 2


def test_lab_goes_through_its_own_colour_space(photo: Image.Image):
    target = ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(photo, ImageCms.createProfile("sRGB"), target, outputMode="LAB")
    assert np.abs(read(encoded(lab, "TIFF")) - np.asarray(photo)).mean() < 6


def test_wide_gamut_moves_as_its_primaries_say(photo: Image.Image):
    """A profile with red and blue swapped gives a picture with red and blue swapped."""
    swapped = swap_primaries(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    result = read(encoded(photo, icc_profile=swapped))
    assert np.abs(result - np.asarray(photo)[..., ::-1]).mean() < 2


def swap_primaries(profile: bytes) -> bytes:
    """Swap the entries of red and blue in a profile's table, and blank its name."""
    content = bytearray(profile.replace("sRGB".encode("utf-16-be"), "Swap".encode("utf-16-be")))
    content = bytearray(bytes(content).replace(b"sRGB", b"Swap"))
    count = struct.unpack(">I", content[128:132])[0]
    names = {bytes(content[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    red, blue = names[b"rXYZ"], names[b"bXYZ"]
    content[red : red + 4], content[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(content)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("exif", [b"Exif\0\0rubbish", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff"])
def test_broken_exif_is_passed_over(photo: Image.Image, format: str, exif: bytes):
    assert read(encoded(photo, format, exif=exif)).shape == (48, 64, 3)


def test_many_threads_read_at_once_and_leave_no_trace(photo: Image.Image):
    content, filters, limit = encoded(photo), list(warnings.filters), Image.MAX_IMAGE_PIXELS
    with ThreadPoolExecutor(8) as pool:
        sizes = list(pool.map(lambda n: read_pil_image(content, max_pixels=MAX_PIXELS + n).size, range(64)))
    assert set(sizes) == {(64, 48)}
    assert (list(warnings.filters), Image.MAX_IMAGE_PIXELS) == (filters, limit)


def test_importing_image_io_imports_neither_torch_nor_matplotlib():
    code = "import sys, cnnviz.imaging.image_io; print({'torch', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
