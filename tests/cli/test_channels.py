"""The commands with a network of four channels: they work on images of four, and refuse others in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cnnviz
from cnnviz.imaging.recipe import read_recipe
from cnnviz.pipeline.config import InputConfig
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.inputs import ImageSource

NETWORK = """
import torch
from torch import nn

def build(channels=4):
    torch.manual_seed(0)
    body = [nn.Conv2d(channels, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()]
    module = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    return module, {"channels": channels, "mean": [0.3] * channels, "std": [0.2] * channels, "size": 32}
"""
MODEL = ("-m", "net.py:build", "--trust")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """A network of four channels, and images of four: ``one.npy``, ``two.npy``, and ``clear.png`` with transparency."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NETWORK)
    random = np.random.default_rng(0)
    smooth = np.asarray(Image.fromarray(random.integers(0, 256, (5, 6, 4), np.uint8)).resize((48, 40)))
    np.save("one.npy", smooth)
    np.save("two.npy", smooth[::-1].transpose(2, 0, 1).astype(np.float32) / 255)
    Image.fromarray(smooth).save("clear.png")
    Image.fromarray(smooth[..., :3]).save("photo.png")
    return tmp_path


COMMANDS = {
    "saliency": "one.npy clear.png --view heat",
    "saliency smoothgrad": "one.npy --method smoothgrad --samples 2 --check",
    "saliency integrated": "one.npy --method integrated --steps 4 --grabcut",
    "gradcam": "one.npy --guided",
    "guided": "one.npy",
    "occlusion": "one.npy --patch 8 --stride 8",
    "compare": "one.npy --methods saliency,guided",
    "activations": "one.npy",
    "patches": "one.npy two.npy --guided",
    "embed": "one.npy two.npy",
    "neighbors": "one.npy arrays",
    "fool": "clear.png --epsilon 1/255",
    "report": "one.npy --methods saliency",
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_explain_images_of_four_channels(command, folder, run_cnnviz):
    (folder / "arrays").mkdir()
    np.save("arrays/three.npy", np.load("one.npy")[:, ::-1])
    found = run_cnnviz(command.split()[0], *COMMANDS[command].split(), *MODEL, "--json", "-o", "out/")
    assert found.exit_code == 0, found.output
    for line in found.stdout.splitlines():
        assert Path(json.loads(line)["output"]).stat().st_size > 0


def test_every_reader_gives_the_network_the_same_pixels(folder, run_cnnviz):
    lines = run_cnnviz("classify", "one.npy", "clear.png", *MODEL, "--json").stdout.splitlines()
    one, clear = (json.loads(line)["predictions"] for line in lines)
    assert one == clear


@pytest.mark.parametrize(
    ("options", "caption", "order"),
    [((), "channels 1, 2, 3", [0, 1, 2]), (("--show-channels", "4,2,1"), "channels 4, 2, 1", [3, 1, 0])],
)
def test_the_channels_shown_are_chosen_and_told(folder, run_cnnviz, options, caption, order):
    typed = ("saliency", "one.npy", *MODEL, "--view", "overlay", "--json", *options)
    record = json.loads(run_cnnviz(*typed, "-o", "map.png").stdout)
    assert record["shown"] == caption
    assert read_recipe(Path("map.png"))["parameters"].get("show_channels") == (options[1] if options else None)
    config = InputConfig(show_channels=options[1] if options else None)
    image = read_image(ImageSource(Path("one.npy")), cnnviz.load_network("net.py:build", trust=True), config)
    assert np.array_equal(image.photo, np.load("one.npy")[..., order])


def test_an_image_of_other_channels_fails_alone_with_both_numbers(folder, run_cnnviz):
    found = run_cnnviz("classify", "photo.png", "one.npy", *MODEL)
    assert found.exit_code == 1 and "one.npy" in found.stdout
    assert "'photo.png' has 3 channels, but net.py:build takes 4." in found.stderr
    rgb = run_cnnviz("classify", "one.npy", "photo.png", "-m", "squeezenet1_1")
    assert rgb.exit_code == 1 and "'one.npy' has 4 channels, but squeezenet1_1 takes 3." in rgb.stderr


@pytest.mark.parametrize(
    "command",
    [
        "dream one.npy",
        "style one.npy photo.png",
        "texture one.npy",
        "invert one.npy",
        "visualize --target 1",
        "universal .",
        "fast-style train photo.png -c .",
    ],
)
def test_what_is_made_of_photos_is_refused_before_any_work(command, folder, run_cnnviz):
    found = run_cnnviz(*command.split(), *MODEL)
    assert found.exit_code == 2
    assert "networks that take photos, in color or gray; net.py:build takes images of 4 channels" in found.stderr


def test_an_adversarial_image_of_four_channels_is_what_its_file_holds(folder, run_cnnviz):
    typed = ("fool", "clear.png", *MODEL, "--epsilon", "8/255", "--json", "--raw", "-o", "raw.png")
    after = json.loads(run_cnnviz(*typed).stdout)["after"]
    changed, original = (np.asarray(Image.open(name), int) for name in ("raw.png", "clear.png"))
    assert changed.shape == (40, 48, 4) and 0 < abs(changed - original)[..., 3].max() <= 8
    (seen,) = json.loads(run_cnnviz("classify", "raw.png", *MODEL, "-k", "1", "--json").stdout)["predictions"]
    assert seen["index"] == after["index"] and seen["probability"] == pytest.approx(after["probability"], abs=1e-5)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("build", ("--raw", "-o", "x.jpg"), "kept by a .png or .tif only"),
        ("build(channels=5)", (), "files hold 1, 3 or 4"),
    ],
)
def test_an_adversarial_image_that_no_file_holds_is_refused(folder, run_cnnviz, model, options, message):
    np.save("five.npy", np.zeros((5, 40, 48), np.uint8))
    image = "clear.png" if model == "build" else "five.npy"
    found = run_cnnviz("fool", image, "-m", f"net.py:{model}", "--trust", *options)
    assert found.exit_code == 2 and message in found.stderr


def test_arrays_are_found_in_folders_without_other_images(folder, run_cnnviz):
    (folder / "arrays").mkdir()
    for name in ("a.npy", "b.npy"):
        np.save(f"arrays/{name}", np.load("one.npy"))
    assert run_cnnviz("classify", "arrays", *MODEL).stdout.count(".npy") == 2
    assert "one.npy" not in run_cnnviz("classify", ".", "-m", "squeezenet1_1").output


def test_python_reads_the_pixels_that_the_command_shows_the_network(folder, run_cnnviz):
    pixels = cnnviz.read_image("one.npy", size=32)
    network = cnnviz.load_network("net.py:build", trust=True)
    (typed,) = json.loads(run_cnnviz("classify", "one.npy", *MODEL, "-k", "1", "--json").stdout)["predictions"]
    ((index, _, probability),) = network.predict(pixels, 1)[0]
    assert pixels.shape == (1, 4, 32, 38) and network.spec.channels == 4 and torch.is_tensor(pixels)
    assert typed["index"] == index and typed["probability"] == pytest.approx(probability, abs=1e-5)
