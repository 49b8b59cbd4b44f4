"""Images of any number of channels: read from TIFF, .npy and PNG, resized, shown; others refused in one sentence."""

from __future__ import annotations

import pickle
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

import cnnviz
from cnnviz.errors import ImageError, UsageError
from cnnviz.imaging.bands import Bands, fit_channels, show, shown_channels
from cnnviz.imaging.pixels import Crop, to_pixels

RANDOM = np.random.default_rng(0)
RAMP = RANDOM.random((4, 20, 30)).astype(np.float32)


def npy(values: np.ndarray, **options) -> bytes:
    file = BytesIO()
    np.save(file, values, **options)
    return file.getvalue()


def refusal(content: bytes, channels: int | None = None) -> str:
    with pytest.raises(ImageError) as caught:
        cnnviz.read_image(content, channels=channels)
    assert str(caught.value).isprintable() and str(caught.value).startswith("<stdin> ")
    return str(caught.value)


@pytest.mark.parametrize("layout", [(0, 1, 2), (1, 2, 0)])
@pytest.mark.parametrize(
    ("dtype", "white"), [("u1", 255), ("u2", 65535), (">u2", 65535), ("i2", 32767), ("u4", 2**32 - 1), ("?", 1)]
)
def test_integers_of_an_array_are_scaled_by_their_range(dtype, white, layout):
    values = (RAMP * white).astype(dtype)
    read = cnnviz.read_image(npy(values.transpose(layout)))
    assert read.shape == (1, 4, 20, 30) and read.dtype == torch.float32
    assert np.allclose(read[0], values.astype(np.float64) / white, atol=1e-6)


def test_floats_of_an_array_are_taken_as_they_are():
    assert np.array_equal(cnnviz.read_image(npy(RAMP))[0], RAMP)
    assert np.array_equal(cnnviz.read_image(npy(RAMP[None]))[0], RAMP)
    assert np.array_equal(cnnviz.read_image(npy(np.asfortranarray(RAMP)))[0], RAMP)
    assert np.allclose(cnnviz.read_image(npy(RAMP.astype(np.float16)))[0], RAMP, atol=1e-3)


def test_an_array_without_channels_is_gray():
    gray = npy(RAMP[0])
    assert cnnviz.read_image(gray).shape == (1, 3, 20, 30)
    assert np.array_equal(cnnviz.read_image(gray, channels=1)[0], RAMP[:1])
    assert np.array_equal(cnnviz.read_image(npy(RAMP[0][:, :, None]), channels=1)[0], RAMP[:1])


def test_the_wanted_number_tells_the_axis_of_the_channels():
    tall = RANDOM.random((40, 5, 8)).astype(np.float32)
    assert cnnviz.read_image(npy(tall), channels=40).shape == (1, 40, 5, 8)
    assert cnnviz.read_image(npy(tall), channels=8).shape == (1, 8, 40, 5)
    assert "may be the channels" in refusal(npy(np.zeros((4, 9, 4), np.uint8)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[{}]]), "Python objects"),
        (RAMP * 255, "floats from .* to 255; they must be in"),
        (RAMP * np.nan, "NaN"),
        (-np.ones((4, 4), np.int16), "negative integers"),
        (np.zeros((4, 4), np.int64), "integers of 64 bits"),
        (np.zeros((4, 4), np.complex64), "complex64"),
        (np.zeros((4, 4), "U3"), "of the type <U3"),
        (np.zeros((4, 4), [("r", "u1")]), "of the type"),
        (np.zeros((2, 3, 4, 5), np.uint8), r"shape \(2, 3, 4, 5\)"),
        (np.zeros(9, np.uint8), r"shape \(9,\)"),
        (np.zeros((0, 4), np.uint8), r"shape \(0, 4\)"),
    ],
)
def test_an_array_that_is_no_image_is_refused(values, message):
    import re

    assert re.search(message, refusal(npy(values)))


def test_objects_in_an_array_are_never_unpickled():
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("it was unpickled",)

    content = npy(np.array([0], object)) + pickle.dumps(Trap())
    assert "Python objects" in refusal(content)
    header = npy(np.zeros((4, 4), np.uint8))[:-16]
    assert "cut short" in refusal(header + b"\x80\x04N.")
    assert "header makes no sense" in refusal(b"\x93NUMPY\1\0\2\0{}")


def test_a_header_that_claims_a_huge_array_allocates_nothing():
    small = npy(np.zeros((4, 4), np.uint8))
    huge = small.replace(b"(4, 4), }          ", b"(400000, 400000), }")
    assert len(huge) == len(small) and "more than the limit" in refusal(huge)


def gray_pages(*pages: np.ndarray) -> bytes:
    file = BytesIO()
    first, *others = [Image.fromarray(page) for page in pages]
    first.save(file, "TIFF", save_all=True, append_images=others, compression="tiff_lzw")
    return file.getvalue()


def test_pages_of_one_size_are_bands_where_so_many_are_wanted():
    levels = (RAMP * 255).astype(np.uint8)
    content = gray_pages(*levels)
    assert np.allclose(cnnviz.read_image(content, channels=4)[0] * 255, levels, atol=1e-4)
    assert cnnviz.read_image(content).shape == (1, 3, 20, 30), "as a photo, the first page alone"
    assert "has 4 channels, but 5 are wanted" in refusal(content, 5)
    assert "has 1 channel, but 2 are wanted" in refusal(gray_pages(levels[0], levels[1][:9]), 2)


DEPTHS = [("u1", 255), ("u2", 65535), ("i2", 32767), ("u4", 2**32 - 1), ("f4", 1), ("f8", 1)]


LAYOUTS = {
    "plain": {},
    "tiles": {"tile": (16, 16)},
    "deflate": {"compression": "deflate", "rowsperstrip": 7},
    "differences": {"compression": "deflate", "predictor": 2},  # of whole numbers: floats are predicted otherwise
}


@pytest.mark.parametrize(
    ("dtype", "white", "options"),
    [
        pytest.param(dtype, white, options, id=f"{dtype}-{name}")
        for dtype, white in DEPTHS
        for name, options in LAYOUTS.items()
        if name != "differences" or dtype[0] != "f"
    ],
)
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("byteorder", "<>")
def test_the_bands_of_a_tiff_are_those_that_tifffile_wrote(dtype, white, planar, options, byteorder):
    tifffile = pytest.importorskip("tifffile")
    bands = RANDOM.random((5, 21, 37))
    values = (bands * white).astype(dtype)
    file, data = BytesIO(), values if planar == "separate" else values.transpose(1, 2, 0)
    tifffile.imwrite(file, data, photometric="minisblack", planarconfig=planar, byteorder=byteorder, **options)
    read = cnnviz.read_image(file.getvalue())
    assert read.shape == (1, 5, 21, 37) and np.allclose(read[0], values.astype(np.float64) / white, atol=1e-6)


@pytest.mark.parametrize("predictor", [1, 2, 3])
@pytest.mark.parametrize("compression", [5, 8, 32773])
def test_the_bands_of_a_tiff_are_those_that_libtiff_wrote(compression, predictor):
    import cv2

    predictor_key = 317  # TIFF's own tag; OpenCV before 4.10 has no name for it
    settings = [cv2.IMWRITE_TIFF_COMPRESSION, compression, predictor_key, predictor]
    done, content = cv2.imencode(".tiff", np.ascontiguousarray(RAMP.transpose(1, 2, 0)), settings)
    assert done
    assert np.allclose(cnnviz.read_image(content.tobytes(), channels=4)[0], RAMP[[2, 1, 0, 3]], atol=1e-6)


def test_a_tiff_with_a_damaged_strip_or_directory_is_refused():
    content = gray_pages(*(RAMP * 255).astype(np.uint8))
    for broken in (content[: len(content) // 2], content[:4] + b"\xff\xff\xff\x7f" + content[8:], content[:9]):
        assert "damaged" in refusal(broken, 4)


def test_transparency_is_the_fourth_channel_where_four_are_wanted():
    levels = (RAMP * 255).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(levels.transpose(1, 2, 0)).save(file, "PNG")
    read = cnnviz.read_image(file.getvalue(), channels=4)
    assert torch.equal((read[0] * 255).round().byte(), torch.from_numpy(levels))
    assert cnnviz.read_image(file.getvalue()).shape == (1, 3, 20, 30)
    assert "has 4 channels, but 5 are wanted" in refusal(file.getvalue(), 5)


def test_the_orientation_holds_for_all_channels():
    levels, file = (RAMP * 255).astype(np.uint8), BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(levels.transpose(1, 2, 0)).save(file, "PNG", exif=exif)
    read = cnnviz.read_image(file.getvalue(), channels=4)
    assert torch.equal((read[0] * 255).round().byte(), torch.from_numpy(np.rot90(levels, -1, (1, 2)).copy()))


@pytest.mark.parametrize(
    ("mode", "channels", "found"), [("RGB", 4, 3), ("L", 4, 1), ("RGB", 2, 3), ("LA", 5, 4), ("CMYK", 4, 3)]
)
def test_a_photo_of_other_channels_is_refused_with_both_numbers(mode, channels, found):
    file = BytesIO()
    Image.new(mode, (9, 9)).save(file, "TIFF" if mode == "CMYK" else "PNG")
    assert f"has {found} channel{'s' * (found != 1)}, but {channels} are wanted" in refusal(file.getvalue(), channels)


def test_channels_are_resized_and_cropped_as_those_of_a_photo():
    coarse = np.random.default_rng(0).integers(64, 192, (3, 7, 9))  # so that nothing overshoots: Pillow clips bytes
    levels = np.kron(coarse, np.ones((1, 9, 9), int)).astype(np.uint8)
    photo, bands = Image.fromarray(levels.transpose(1, 2, 0)), Bands(levels.astype(np.float32) / 255)
    for size, crop in [(32, False), ((20, 70), False), (32, True), (32, Crop(224, 232, "bicubic")), (None, False)]:
        tolerance = (2 if isinstance(crop, Crop) else 1) / 255  # Pillow rounds to bytes, after each of two passes
        expected, found = to_pixels(photo, size, crop), to_pixels(bands, size, crop)
        assert found.shape == expected.shape and (found - expected).abs().max() <= tolerance
        assert found.min() >= 0 and found.max() <= 1


def test_the_first_three_channels_are_shown_of_two_their_mean():
    assert show(Bands(RAMP)).caption == "channels 1, 2, 3"
    shown = show(Bands(RAMP), (3, 2, 1))
    assert shown.caption == "channels 3, 2, 1"
    assert np.array_equal(np.asarray(shown.image), np.rint(RAMP[[2, 1, 0]] * 255).transpose(1, 2, 0))
    assert show(Bands(RAMP[:2])).caption == "mean of 2 channels"
    assert show(Bands(RAMP), "mean").caption == "mean of 4 channels"
    assert show(Bands(RAMP), (4,)).caption == "channel 4"
    assert show(Bands(RAMP[:1])).caption == show(Bands(RAMP[:3])).caption == "photo"


def test_dark_channels_are_brightened_and_the_caption_says_so():
    shown = show(Bands(RAMP / 10))
    assert shown.caption == "channels 1, 2, 3, brightened × 10.1"
    assert np.percentile(np.asarray(shown.image), 99.5) == 255


def test_channels_to_show_are_one_or_three_numbers_from_one():
    assert shown_channels("3,2,1") == (3, 2, 1) and shown_channels("mean") == "mean" and shown_channels([4]) == (4,)
    for text in ("0,1,2", "1,2", "red", "", "1,,2", "-1"):
        with pytest.raises(UsageError, match="counted from 1"):
            shown_channels(text)
    with pytest.raises(UsageError, match="no channel 5 to show: the images have 4 channels"):
        show(Bands(RAMP), (5,))


def test_gray_is_made_rgb_and_rgb_fits_a_gray_network():
    gray, color = Bands(RAMP[:1]), Bands(RAMP[:3])
    assert fit_channels(gray, 3, "x").count == 3 and fit_channels(color, 1, "x") is color
    with pytest.raises(ImageError, match="x has 1 channel, but mine takes 4"):
        fit_channels(gray, 4, "x", "mine")
