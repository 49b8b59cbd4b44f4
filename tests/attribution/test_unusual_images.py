"""Large, low, gray images and networks of two classes: a map, or one clear sentence."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image

COMMANDS = [("occlusion", "--stride", 48), ("saliency",), ("guided",), ("gradcam",)]


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory):
    """A checkpoint of a SqueezeNet that knows two classes, whose weights are random."""
    import torchvision

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torchvision.models.squeezenet1_1(num_classes=2)
    path = tmp_path_factory.mktemp("weights") / "two.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def photos(samples, tmp_path_factory):
    """Chelsea at 3000×2000, as a strip 37 pixels high, and in gray."""
    folder, photo = tmp_path_factory.mktemp("photos"), Image.open(samples / "chelsea.png").convert("RGB")
    photo.resize((3000, 2000)).save(folder / "big.jpg")
    photo.resize((451, 37)).save(folder / "strip.png")
    photo.convert("L").save(folder / "gray.png")
    return folder


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_large_low_and_gray_images(run_cnnviz, photos, tmp_path, command):
    names = ("big.jpg", "strip.png", "gray.png")
    options = ("-m", "squeezenet1_1", "--size", 112, "--json")
    result = run_cnnviz(*command, *(photos / name for name in names), *options)
    assert result.exit_code == 0
    records = [json.loads(line) for line in result.stdout.splitlines()]
    for record, name in zip(records, names, strict=True):
        shown, photo = Image.open(tmp_path / record["output"]), Image.open(photos / name)
        assert shown.width >= min(photo.width, 1000)
        assert shown.convert("L").getextrema()[1] > 100


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_network_of_two_classes(run_cnnviz, samples, two_classes, tmp_path, command):
    options = ("-m", "squeezenet1_1", "-w", two_classes, "--size", 96, "--json")
    record = json.loads(run_cnnviz(*command, samples / "chelsea.png", *options).stdout)
    assert record["target"]["index"] in (0, 1)
    assert Image.open(tmp_path / record["output"]).convert("L").getextrema()[1] > 100


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_too_low_an_image_is_an_error_of_one_line(run_cnnviz, photos, command):
    result = run_cnnviz(*command, photos / "strip.png", "-m", "squeezenet1_1", "--size", 20)
    assert result.exit_code == 1
    assert "too small for squeezenet1_1" in " ".join(result.stderr.split())
