"""What is said of an adversarial file is true of its bytes, whatever the format, as ``classify`` reads them."""

from __future__ import annotations

import json
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz.adversarial.image_attack import fool
from cnnviz.adversarial.image_loading import ImagePipeline
from cnnviz.adversarial.settings import Attack
from cnnviz.imaging.encoding import encode
from cnnviz.imaging.image_io import read_pil_image
from cnnviz.imaging.pixels import to_pil_image

NET = ("-m", "squeezenet1_1", "-s", 96)
FORMATS = (".png", ".tif", ".jpg", ".jpeg", ".webp", ".gif")


@pytest.fixture
def cup(samples, tmp_path):
    """A small photo: fewer pixels, fewer seconds."""
    path = tmp_path / "cup.png"
    read_pil_image(samples / "coffee.png").resize((144, 96)).save(path)
    return path


def verdict(run_cnnviz, path) -> dict:
    return json.loads(run_cnnviz("classify", path, *NET, "-k", 1, "--json").stdout)["predictions"][0]


def change(path, original) -> float:
    both = [np.asarray(read_pil_image(each), dtype=int) for each in (path, original)]
    return float(np.abs(both[0] - both[1]).max()) / 255


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_written_file_does_it_and_differs_by_what_is_said(run_cnnviz, cup, suffix):
    result = run_cnnviz("fool", cup, *NET, "-e", 4, "--raw", "-o", f"out{suffix}", "--json")
    record = json.loads(result.stdout)
    assert record["after"] == verdict(run_cnnviz, f"out{suffix}")
    assert record["before"] == verdict(run_cnnviz, cup)
    assert record["success"] and record["after"]["index"] != record["before"]["index"]
    assert record["linf"] == pytest.approx(change(f"out{suffix}", cup), abs=1e-6)
    assert record["judged_as"] == suffix
    assert ("saving as" in result.stderr) == (record["linf"] > 4 / 255 + 1e-6)


def test_a_step_that_the_encoding_undoes_is_no_success(run_cnnviz, cup):
    options = ("--method", "fgsm", "-t", "flamingo", "-e", 1, "--jpeg", 10, "--raw")
    record = json.loads(run_cnnviz("fool", cup, *NET, *options, "-o", "out.jpg", "--json").stdout)
    assert record["after"] == verdict(run_cnnviz, "out.jpg")
    assert not record["success"]
    result = run_cnnviz("fool", cup, *NET, *options, "-o", "out.jpg", "-f", "--strict")
    assert result.exit_code == 1
    assert "or write a .png" in result.stderr


def test_a_jpeg_is_written_with_the_quality_asked_for(run_cnnviz, cup):
    assert run_cnnviz("fool", cup, *NET, "-e", 8, "--jpeg", 60, "--raw", "-o", "out.jpg").exit_code == 0
    plain = BytesIO()
    Image.new("RGB", (8, 8)).save(plain, "JPEG", quality=60)
    with Image.open("out.jpg") as written, Image.open(plain) as reference:
        assert written.quantization == reference.quantization


def test_standard_output_is_judged_as_the_png_it_is(run_cnnviz, cup, tmp_path):
    result = run_cnnviz("fool", cup, *NET, "--raw", "-o", "-", "--strict")
    assert result.exit_code == 0
    (tmp_path / "piped.png").write_bytes(result.stdout_bytes)
    assert verdict(run_cnnviz, "piped.png")["index"] != verdict(run_cnnviz, cup)["index"]


def test_a_file_that_is_to_survive_jpeg_does_it_itself_too(squeezenet, cup):
    found = fool(
        squeezenet, read_pil_image(cup), Attack("iterative", 8 / 255), ImagePipeline(96, jpeg=70, format=".webp")
    )
    assert found.success
    for content in (encode(found.adversarial, "webp"), _jpeg(read_pil_image(encode(found.adversarial, "webp")), 70)):
        seen = ImagePipeline(96).preprocess(read_pil_image(content))
        assert squeezenet.predict(seen, 1)[0][0][0] != found.before[0]


def _jpeg(photo, quality: int) -> bytes:
    file = BytesIO()
    photo.save(file, "JPEG", quality=quality)
    return file.getvalue()


def test_reading_is_what_the_file_holds():
    noise = to_pil_image(torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(0)))
    for suffix in FORMATS:
        pipeline = ImagePipeline(24, format=suffix, jpeg=55 if suffix == ".jpg" else None)
        written = read_pil_image(encode(noise, suffix, {"a": "recipe"}, pipeline.quality))
        assert pipeline.roundtrip(noise).tobytes() == written.tobytes()
        assert pipeline.is_lossless == (written.tobytes() == noise.tobytes())


def test_a_perturbation_laid_over_is_judged_by_its_file(run_cnnviz, cup, tmp_path):
    from safetensors.torch import save_file

    signs = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)).sub(0.5).sign()
    save_file({"perturbation": signs * 12 / 255}, tmp_path / "p.safetensors")
    options = ("--apply", "p.safetensors", "--raw", "-o", "out.jpg", "--json")
    record = json.loads(run_cnnviz("universal", cup, *NET, *options).stdout)
    assert record["after"] == verdict(run_cnnviz, "out.jpg")
    assert record["linf"] == pytest.approx(change("out.jpg", cup), abs=1e-6)
