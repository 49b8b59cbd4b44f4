"""``fool``: the file written to disk fools the network, at the photo's own size, as ``classify`` reads it."""

from __future__ import annotations

import json
import shlex
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from cnnviz.imaging.image_io import read_pil_image

NET = ("-m", "squeezenet1_1")
SMALL = ("-s", 96)
PHOTOS = ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png")
FORMATS = (".png", ".tif", ".jpg", ".jpeg", ".webp", ".gif")


def verdict(run_cnnviz, path, *options) -> dict:
    return json.loads(run_cnnviz("classify", path, *NET, "-k", 1, "--json", *options).stdout)["predictions"][0]


@pytest.mark.parametrize("photo", PHOTOS)
def test_one_gray_level_fools_at_the_photos_own_size(run_cnnviz, samples, tmp_path, photo):
    before = verdict(run_cnnviz, samples / photo)
    result = run_cnnviz(
        "fool", samples / photo, *NET, "--epsilon", "1/255", "--raw", "-o", "out.png", "--strict", "--json"
    )
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    original, written = read_pil_image(samples / photo), Image.open(tmp_path / "out.png")
    assert written.size == original.size
    change = np.asarray(written, dtype=int) - np.asarray(original, dtype=int)
    assert np.abs(change).max() == 1
    after = verdict(run_cnnviz, tmp_path / "out.png")
    assert after["index"] != before["index"]
    assert record["after"] == after
    assert record["before"] == before
    assert record["linf"] == pytest.approx(1 / 255, abs=1e-6)
    assert record["psnr"] > 45
    assert record["ssim"] > 0.98


@pytest.mark.parametrize("photo", ["chelsea.png", "coffee.png"])
def test_without_a_target_the_mistake_is_made_with_certainty(run_cnnviz, samples, tmp_path, photo):
    small = ("--small", "-s", 160, "--json")  # fewer pixels, fewer seconds
    record = json.loads(run_cnnviz("fool", samples / photo, *NET, *small, "--raw", "-o", "out.png").stdout)
    one_step = json.loads(run_cnnviz("fool", samples / photo, *NET, *small, "--method", "fgsm", "-o", "one.png").stdout)
    assert record["success"] and record["after"]["probability"] >= 0.99 > one_step["after"]["probability"]
    assert (record["method"], one_step["method"]) == ("iterative", "fgsm")
    assert record["linf"] <= 2 / 255 + 1e-6
    assert verdict(run_cnnviz, tmp_path / "out.png", "-s", 160) == record["after"]


@pytest.mark.parametrize(
    "photo", [PHOTOS[1], *(pytest.param(photo, marks=pytest.mark.slow) for photo in (PHOTOS[0], *PHOTOS[2:]))]
)
def test_a_chosen_class_at_eight_gray_levels(run_cnnviz, samples, tmp_path, photo):
    for more in ((), ("--small",)):
        options = ("--target", "flamingo", "--epsilon", 8, "--raw", "-o", "out.png", "--force")
        assert run_cnnviz("fool", samples / photo, *NET, *options, *more).exit_code == 0
        after = verdict(run_cnnviz, tmp_path / "out.png")
        assert after["label"] == "flamingo"
        assert after["probability"] >= 0.9


@pytest.mark.slow
def test_jpeg_is_survived_by_at_least_three_of_four(run_cnnviz, samples, tmp_path):
    survived = 0
    for photo in PHOTOS:
        options = ("--target", "flamingo", "--epsilon", 8, "--jpeg", 90, "--raw", "-o", "out.png", "--force", "--json")
        record = json.loads(run_cnnviz("fool", samples / photo, *NET, *options).stdout)
        Image.open(tmp_path / "out.png").save(tmp_path / "sent.jpg", quality=90)
        says_flamingo = verdict(run_cnnviz, tmp_path / "sent.jpg")["label"] == "flamingo"
        assert record["success"] == says_flamingo
        survived += says_flamingo
    assert survived >= 3


@pytest.mark.slow
def test_a_photo_of_six_megapixels_stays_one(run_cnnviz, samples, tmp_path):
    Image.open(samples / "chelsea.png").resize((3000, 2000)).save(tmp_path / "large.jpg", quality=95)
    before = verdict(run_cnnviz, "large.jpg")
    result = run_cnnviz(
        "fool", "large.jpg", *NET, "--method", "fgsm", "-e", "2/255", "--raw", "-o", "out.png", "--strict"
    )
    assert result.exit_code == 0, result.stderr
    assert Image.open(tmp_path / "out.png").size == (3000, 2000)
    assert verdict(run_cnnviz, "out.png")["index"] != before["index"]


def test_crop_is_attacked_through(run_cnnviz, samples, tmp_path):
    assert (
        run_cnnviz("fool", samples / "coffee.png", *NET, "--crop", "--raw", "-o", "out.png", "--strict").exit_code == 0
    )
    assert verdict(run_cnnviz, "out.png", "--crop")["label"] != "espresso"
    with Image.open(tmp_path / "out.png") as written, Image.open(samples / "coffee.png") as original:
        change = np.asarray(written, dtype=int) - np.asarray(original.convert("RGB"), dtype=int)
    assert not change[:5].any()  # above the crop nothing needs to be touched


@pytest.mark.parametrize(
    "method",
    [
        ("deepfool",),
        ("deepfool", "--norm", "l2", "-e", "50"),
        ("iterative", "--random-start"),
        ("iterative", "--norm", "l2", "-e", "3"),
        ("ascent", "-t", "lynx"),
    ],
)
def test_every_method_fools_with_a_file(run_cnnviz, samples, tmp_path, method):
    options = (
        "--method",
        *method,
        "--raw",
        "-o",
        "out.png",
        "--strict",
        "--size",
        128,
        *(() if "-e" in method else ("-e", 8)),
    )
    result = run_cnnviz("fool", samples / "chelsea.png", *NET, *options)
    assert result.exit_code == 0, result.stderr
    before = verdict(run_cnnviz, samples / "chelsea.png", "--size", 128)
    assert verdict(run_cnnviz, "out.png", "--size", 128)["index"] != before["index"]


def test_smallest_epsilon(run_cnnviz, samples):
    record = json.loads(run_cnnviz("fool", samples / "coffee.png", *NET, "--min-epsilon", "--json").stdout)
    assert record["success"]
    assert record["epsilon"] == pytest.approx(1 / 255)
    assert record["tried"][0] == pytest.approx(1 / 255)


def test_epsilon_of_nothing_changes_nothing(run_cnnviz, samples, tmp_path):
    result = run_cnnviz("fool", samples / "rocket.jpg", *NET, "--epsilon", 0, "--raw", "-o", "out.png")
    assert result.exit_code == 0
    assert "was not fooled" in result.stderr
    assert Image.open(tmp_path / "out.png").tobytes() == read_pil_image(samples / "rocket.jpg").tobytes()
    assert run_cnnviz("fool", samples / "rocket.jpg", *NET, "-e", 0, "--strict").exit_code == 1


def test_panel_and_recipe(run_cnnviz, samples, tmp_path):
    result = run_cnnviz("fool", samples / "coffee.png", *NET, "-t", "flamingo", "-e", 4)
    assert result.stdout == "coffee.fool.png\n"
    assert Image.open(tmp_path / "coffee.fool.png").width > 3 * 600
    line = json.loads(run_cnnviz("info", "coffee.fool.png").stdout)["command_line"]
    photo = shlex.quote(str(samples / "coffee.png"))
    options = "--model squeezenet1_1 --seed 0 --epsilon 4 --target 130 -o coffee.fool.again.png"
    assert line == f"cnnviz fool {photo} {options}"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--target", "espresso"), 1, "takes it for espresso already"),
        (("--label", "flamingo"), 1, "but for espresso: it is fooled already"),
        (("--epsilon", "eight"), 2, "--epsilon takes a size"),
        (("--epsilon", "8/0"), 2, "--epsilon takes a size"),
        (("--epsilon", "-1"), 2, "at least 0"),
        (("--method", "ascent"), 2, "Name it with --target"),
        (("--method", "deepfool", "-t", "flamingo"), 2, "takes no target. Try --method iterative"),
        (("--method", "fgsm", "--norm", "l2"), 2, "its norm is linf"),
        (("--method", "magic"), 2, "magic"),
        (("--jpeg", "0"), 2, "jpeg"),
    ],
)
def test_mistakes(run_cnnviz, samples, tmp_path, arguments, code, message):
    result = run_cnnviz("fool", samples / "coffee.png", *NET, *arguments)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def cup(samples, tmp_path):
    """A small photo: fewer pixels, fewer seconds."""
    path = tmp_path / "cup.png"
    read_pil_image(samples / "coffee.png").resize((144, 96)).save(path)
    return path


def change(path, original) -> float:
    both = [np.asarray(read_pil_image(each), dtype=int) for each in (path, original)]
    return float(np.abs(both[0] - both[1]).max()) / 255


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_written_file_does_it_and_differs_by_what_is_said(run_cnnviz, cup, suffix):
    result = run_cnnviz("fool", cup, *NET, *SMALL, "-e", 4, "--raw", "-o", f"out{suffix}", "--json")
    record = json.loads(result.stdout)
    assert record["after"] == verdict(run_cnnviz, f"out{suffix}", *SMALL)
    assert record["before"] == verdict(run_cnnviz, cup, *SMALL)
    assert record["success"] and record["after"]["index"] != record["before"]["index"]
    assert record["linf"] == pytest.approx(change(f"out{suffix}", cup), abs=1e-6)
    assert record["judged_as"] == suffix
    assert ("saving as" in result.stderr) == (record["linf"] > 4 / 255 + 1e-6)


def test_a_step_that_the_encoding_undoes_is_no_success(run_cnnviz, cup):
    options = ("--method", "fgsm", "-t", "flamingo", "-e", 1, "--jpeg", 10, "--raw")
    record = json.loads(run_cnnviz("fool", cup, *NET, *SMALL, *options, "-o", "out.jpg", "--json").stdout)
    assert record["after"] == verdict(run_cnnviz, "out.jpg", *SMALL)
    assert not record["success"]
    result = run_cnnviz("fool", cup, *NET, *SMALL, *options, "-o", "out.jpg", "-f", "--strict")
    assert result.exit_code == 1
    assert "or write a .png" in result.stderr


def test_a_jpeg_is_written_with_the_quality_asked_for(run_cnnviz, cup):
    assert run_cnnviz("fool", cup, *NET, *SMALL, "-e", 8, "--jpeg", 60, "--raw", "-o", "out.jpg").exit_code == 0
    plain = BytesIO()
    Image.new("RGB", (8, 8)).save(plain, "JPEG", quality=60)
    with Image.open("out.jpg") as written, Image.open(plain) as reference:
        assert written.quantization == reference.quantization


def test_standard_output_is_judged_as_the_png_it_is(run_cnnviz, cup, tmp_path):
    result = run_cnnviz("fool", cup, *NET, *SMALL, "--raw", "-o", "-", "--strict")
    assert result.exit_code == 0
    (tmp_path / "piped.png").write_bytes(result.stdout_bytes)
    assert verdict(run_cnnviz, "piped.png", *SMALL)["index"] != verdict(run_cnnviz, cup, *SMALL)["index"]
