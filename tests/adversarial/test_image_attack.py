"""The promise: the file written to disk fools the network, at the photo's own size, as ``classify`` reads it."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz.adversarial.image_attack import fool, quantized
from cnnviz.adversarial.image_loading import ImagePipeline
from cnnviz.adversarial.settings import Attack
from cnnviz.imaging.image_io import read_pil_image
from cnnviz.imaging.image_metrics import psnr, ssim
from cnnviz.imaging.pixels import Crop, to_pil_image, to_pixels

NET = ("-m", "squeezenet1_1")
PHOTOS = ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png")


def verdict(run_cnnviz, path, *options) -> dict:
    return json.loads(run_cnnviz("classify", path, *NET, "-k", 1, "--json", *options).stdout)["predictions"][0]


@pytest.mark.parametrize("photo", PHOTOS)
def test_one_grey_level_fools_at_the_photos_own_size(run_cnnviz, samples, tmp_path, photo):
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


def test_the_least_epsilon_is_gone_on_with_too(squeezenet, chelsea):
    from cnnviz.adversarial.image_attack import minimal_attack

    attack = Attack(epsilon=8 / 255, confidence=0.99)
    found = minimal_attack(squeezenet, to_pil_image(chelsea), attack, ImagePipeline((224, 336)))
    assert found.after[2] >= 0.99
    assert found.linf == pytest.approx(1 / 255, abs=1e-6)
    assert found.tried == pytest.approx([1 / 255])


def test_where_one_step_does_not_fool_many_go_on(squeezenet, samples):
    photo = to_pil_image(to_pixels(read_pil_image(samples / "coffee.png"), 160))
    one_step = fool(squeezenet, photo, Attack(epsilon=1 / 255), ImagePipeline(160))
    gone_on = fool(squeezenet, photo, Attack(epsilon=1 / 255, confidence=0.99), ImagePipeline(160))
    assert (one_step.success, gone_on.success) == (False, True)


@pytest.mark.parametrize(
    "photo", [*PHOTOS[1:3], *(pytest.param(photo, marks=pytest.mark.slow) for photo in (PHOTOS[0], PHOTOS[3]))]
)
def test_a_chosen_class_at_eight_grey_levels(run_cnnviz, samples, tmp_path, photo):
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


def test_a_photo_of_six_megapixels_stays_one(run_cnnviz, samples, tmp_path):
    Image.open(samples / "chelsea.png").resize((3000, 2000)).save(tmp_path / "large.jpg", quality=95)
    before = verdict(run_cnnviz, "large.jpg")
    result = run_cnnviz("fool", "large.jpg", *NET, "-e", "2/255", "--raw", "-o", "out.png", "--strict")
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


def test_reading_through_is_the_reading_path_forward_and_has_its_gradient(samples):
    photo = read_pil_image(samples / "chelsea.png")
    cut = ImagePipeline(64, crop=Crop(224, 230, "bicubic"))
    for pipeline in (
        ImagePipeline(64),
        ImagePipeline((40, 70)),
        ImagePipeline(64, crop=True),
        ImagePipeline(64, jpeg=60),
        cut,
    ):
        pixels = to_pixels(photo).requires_grad_()
        seen = pipeline.differentiable(pixels)
        torch.testing.assert_close(seen, pipeline.load(photo))
        smooth = pipeline.resize_and_crop(pixels).clamp(0, 1)
        assert (smooth - ImagePipeline(pipeline.size, pipeline.crop).load(photo)).abs().max() < 1.01 / 255
        gradient = torch.autograd.grad(seen.sum(), pixels)[0]
        # Resizing keeps means: every output pixel spreads a weight of one.
        assert float(gradient.sum()) == pytest.approx(seen.numel(), rel=1e-3)


def test_rounding_keeps_to_epsilon():
    photo = to_pil_image(torch.full((1, 3, 4, 4), 0.5))
    attack = Attack(epsilon=2.4 / 255)
    rounded = quantized(to_pixels(photo) + 2.6 / 255, photo, attack)
    assert np.asarray(rounded).max() - np.asarray(photo).max() == 2


def test_the_same_seed_gives_the_same_photo(squeezenet, samples):
    photo = read_pil_image(samples / "coffee.png").resize((120, 80))
    attack = Attack("iterative", 4 / 255, random_start=True, steps=3, seed=5)
    one, two = (fool(squeezenet, photo, attack, ImagePipeline(80)) for _ in range(2))
    assert one.adversarial.tobytes() == two.adversarial.tobytes()


def test_likeness():
    one, other = Image.new("RGB", (32, 20), (100, 100, 100)), Image.new("RGB", (32, 20), (110, 110, 110))
    assert psnr(one, other) == pytest.approx(20 * np.log10(255 / 10))
    c1 = (0.01 * 255) ** 2
    assert ssim(one, other) == pytest.approx((2 * 100 * 110 + c1) / (100**2 + 110**2 + c1))
    assert ssim(one, one) == pytest.approx(1)
    assert psnr(one, one) == float("inf")
    noisy = to_pil_image(torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    from skimage.metrics import structural_similarity

    blurred = noisy.resize((16, 16)).resize((32, 32))
    grey = [np.asarray(p.convert("L"), dtype=float) for p in (noisy, blurred)]
    reference = structural_similarity(
        *grey, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim(noisy, blurred) == pytest.approx(reference, abs=1e-6)
