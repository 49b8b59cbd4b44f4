"""An MP4 tells how it was made as every picture does, read without ffmpeg; damaged ones are no more than refused."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from PIL import Image

from cnnviz.errors import ImageError
from cnnviz.imaging.image_io import write_image
from cnnviz.imaging.mp4 import is_mp4, read_comment
from cnnviz.imaging.recipe import read_recipe

RECIPE = {"command": "dream", "seed": 7, "model": "réseau—σ×", "options": {"size": [224, 224], "note": "a=b;#\\\n"}}
FRAMES = [Image.new("RGB", (32, 24), (shade, 80, 40)) for shade in (0, 100, 200)]


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    return write_image(FRAMES, tmp_path_factory.mktemp("films") / "film.mp4", RECIPE)


def test_a_film_keeps_its_recipe(film: Path):
    assert is_mp4(film)
    assert read_recipe(film) == RECIPE
    assert read_recipe(film.read_bytes()) == RECIPE


def test_a_film_by_others_has_none(tmp_path: Path):
    film = write_image(FRAMES, tmp_path / "bare.mp4")
    assert read_comment(film) == ""
    with pytest.raises(ImageError, match=r"bare\.mp4' carries no cnnviz recipe"):
        read_recipe(film)


def test_a_film_cut_anywhere_is_refused_and_no_more(film: Path):
    whole = film.read_bytes()
    for length in (12, 40, 200, 700, len(whole) // 2):
        if whole[:length].find(b"mdat") < 0:
            with pytest.raises(ImageError, match="carries no cnnviz recipe"):
                read_recipe(whole[:length])


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def test_long_boxes_and_boxes_to_the_end_of_the_file():
    data = _box(b"data", bytes(8) + b"hello")
    for kind in (b"\xa9cmt", b"ilst"):
        data = _box(kind, data)
    data = _box(b"udta", _box(b"meta", bytes(4) + data))
    start = _box(b"ftyp", b"isom") + struct.pack(">I4sQ", 1, b"free", 20) + bytes(4)
    assert read_comment(start + struct.pack(">I4s", 0, b"moov") + data) == "hello"
    assert read_comment(start + struct.pack(">I4sQ", 1, b"moov", 16 + len(data)) + data) == "hello"
    assert read_comment(start + struct.pack(">I4sQ", 1, b"moov", 2**60) + data) == ""
    assert read_comment(_box(b"ftyp", b"isom") + struct.pack(">I4s", 3, b"moov")) == ""
