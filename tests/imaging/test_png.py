"""Our PNG writer against Pillow's reader."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cnnviz.imaging.png import encode_png


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1), (31, 17)])
def test_pixels_come_back_bit_for_bit(mode, size):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], len(mode)), dtype=np.uint8)
    photo = Image.fromarray(noise.squeeze(-1) if mode == "L" else noise)
    data = encode_png(photo)
    with Image.open(BytesIO(data)) as checked:
        checked.verify()  # the sums of all chunks
    with Image.open(BytesIO(data)) as found:
        assert (found.format, found.mode, found.size) == ("PNG", mode, size)
        assert np.array_equal(np.asarray(found), np.asarray(photo))


def test_text_comes_back():
    chunks = PngInfo()
    chunks.add_text("cnnviz", "{}")
    with Image.open(BytesIO(encode_png(Image.new("L", (3, 2)), chunks))) as found:
        assert found.info["cnnviz"] == "{}"


def test_files_are_not_much_larger_than_pillows(samples):
    for name in ("chelsea.png", "rocket.jpg", "gravel.png"):
        photo = Image.open(samples / name).convert("RGB")
        usual = BytesIO()
        photo.save(usual, "PNG")
        assert len(encode_png(photo)) < 1.15 * len(usual.getvalue())
    white = Image.new("RGB", (1000, 1000), "white")
    assert len(encode_png(white)) < 30_000
