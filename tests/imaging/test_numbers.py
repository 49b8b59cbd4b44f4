"""Numbers and PDF files: what is in them, their recipes, and what is no such file."""

from __future__ import annotations

import json
import re
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from cnnviz.errors import ImageError, UsageError
from cnnviz.imaging.encoding import encode
from cnnviz.imaging.numbers import encode_numbers, recipe_json
from cnnviz.imaging.recipe import read_recipe

RECIPE = {"command": "saliency", "inputs": ["cät (1).png"], "parameters": {"size": 64}}
MAP = np.arange(12.0).reshape(3, 4) - 5


def test_a_npy_file_is_one_array_in_float32_and_its_recipe_lies_beside(tmp_path):
    path = tmp_path / "map.npy"
    path.write_bytes(encode_numbers({"saliency": MAP}, ".npy", RECIPE))
    found = np.load(path, allow_pickle=False)
    assert found.dtype == np.float32 and (found == MAP).all()
    with pytest.raises(ImageError, match="no cnnviz recipe"):
        read_recipe(path)
    path.with_suffix(".json").write_text(recipe_json(RECIPE))
    assert read_recipe(path) == read_recipe(path.with_suffix(".json")) == RECIPE
    with pytest.raises(UsageError, match="one map, not 2"):
        encode_numbers({"a": MAP, "b": MAP}, ".npy", RECIPE)


def test_a_npz_file_holds_all_maps_and_the_recipe_and_is_the_same_each_time(tmp_path):
    data = encode_numbers({"gradcam++": MAP, "vgg16/saliency": MAP.T}, ".npz", RECIPE)
    with np.load(BytesIO(data), allow_pickle=False) as found:
        assert set(found.files) == {"gradcam++", "vgg16/saliency", "recipe"}
        assert found["vgg16/saliency"].dtype == np.float32 and (found["vgg16/saliency"] == MAP.T).all()
        assert json.loads(str(found["recipe"])) == RECIPE
    assert read_recipe(data) == RECIPE
    assert encode_numbers({"gradcam++": MAP, "vgg16/saliency": MAP.T}, ".npz", RECIPE) == data


def test_files_of_others_carry_no_recipe(tmp_path):
    (tmp_path / "other.json").write_bytes(b"\xff\xfe[1")
    np.savez(tmp_path / "other.npz", recipe=np.array([1, 2]), objects=np.array([{}], dtype=object))
    np.savez(tmp_path / "none.npz", a=MAP)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "none.npz").read_bytes()[:60])
    (tmp_path / "other.pdf").write_bytes(b"%PDF-1.4\nnothing")
    for path in tmp_path.iterdir():
        with pytest.raises(ImageError, match="carries no cnnviz recipe"):
            read_recipe(path)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_a_pdf_holds_the_pixels_without_loss_and_the_recipe(mode):
    image = Image.effect_noise((60, 45), 80).convert(mode)
    data = encode(image, "pdf", RECIPE)
    assert read_recipe(data) == RECIPE
    assert encode(image, ".PDF", RECIPE) == data
    width, height = map(float, re.search(rb"MediaBox \[ 0 0 ([0-9.]+) ([0-9.]+) \]", data).groups())
    assert (width, height) == pytest.approx((60 * 72 / 150, 45 * 72 / 150))
    start = data.index(b"/Subtype /Image")
    head = data[data.rindex(b"<<", 0, start) : data.index(b"stream", start)]
    assert b"/Width 60" in head and b"/Height 45" in head and b"/FlateDecode" in head
    body = data[data.index(b"stream", start) + 7 :]
    assert len(zlib.decompressobj().decompress(body)) >= 60 * 45


def test_a_pdf_is_one_page():
    with pytest.raises(UsageError, match="PDF holds one image"):
        encode([Image.new("RGB", (8, 8))] * 2, "pdf")
