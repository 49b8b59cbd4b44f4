"""Weights that are not finite, networks that overflow, networks of one logit, maps that show nothing: every command."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image

import cnnviz
from cnnviz.network.lenet import LeNet5

SIZE = ("-s", 64)
COMMANDS = {
    "classify": ("classify", "cup.png", *SIZE),
    "saliency": ("saliency", "cup.png", *SIZE),
    "smoothgrad": ("saliency", "cup.png", *SIZE, "--method", "smoothgrad", "--samples", 2),
    "integrated": ("saliency", "cup.png", *SIZE, "--method", "integrated", "--steps", 2),
    "guided": ("guided", "cup.png", *SIZE),
    "gradcam": ("gradcam", "cup.png", *SIZE),
    "occlusion": ("occlusion", "cup.png", *SIZE, "--stride", 32),
    "compare": ("compare", "cup.png", *SIZE, "--methods", "saliency,gradcam"),
    "fool": ("fool", "cup.png", *SIZE),
    "universal": ("universal", "photos/", "--passes", 1),
    "visualize": ("visualize", "--class", 3, "--steps", 2, "--size", 64),
    "dream": ("dream", "cup.png", *SIZE, "--steps", 1, "--octaves", 1),
    "invert": ("invert", "cup.png", *SIZE, "--layer", "fire5", "--steps", 2),
    "style": ("style", "cup.png", "--style", "photos/cat.png", *SIZE, "--steps", 2),
    "texture": ("texture", "cup.png", "--size", 64, "--sample-size", 64, "--steps", 2),
    "filters": ("filters",),
    "activations": ("activations", "cup.png", *SIZE, "--layer", "fire5"),
    "patches": ("patches", "photos/", *SIZE, "--layer", "fire5"),
    "neighbors": ("neighbors", "cup.png", "photos/", *SIZE),
    "embed": ("embed", "photos/", *SIZE),
    "report": ("report", "cup.png", *SIZE),
    "fast-style": ("fast-style", "train", "photos/cat.png", "--content", "photos/", "-o", "styles.safetensors"),
    "layers": ("layers",),
}
WITHOUT_A_PASS = ("filters", "layers", "fast-style")


@pytest.fixture
def photos(tmp_path, samples):
    """Two tiny photos, one of them in a folder with another."""
    (tmp_path / "photos").mkdir()
    for name, places in {"coffee.png": ("cup.png", "photos/cup.png"), "chelsea.png": ("photos/cat.png",)}.items():
        photo = Image.open(samples / name).convert("RGB").resize((96, 64))
        for place in places:
            photo.save(tmp_path / place)


@pytest.fixture(scope="session")
def damaged(squeezenet, tmp_path_factory):
    """Weights files by what is wrong with them."""
    folder = tmp_path_factory.mktemp("weights")
    sound = {name: value.clone() for name, value in squeezenet.module.state_dict().items()}
    for holds in (torch.nan, -torch.inf):
        spoiled = dict(sound)
        for name, place in (("features.6.squeeze.bias", 2), ("classifier.1.weight", 0)):
            spoiled[name] = sound[name].clone()
            spoiled[name].view(-1)[place] = holds
        torch.save(spoiled, folder / f"{holds}.pth")
    huge = {name: value * 1e12 if value.ndim == 4 else value for name, value in sound.items()}
    torch.save(huge, folder / "huge.pth")
    return folder


def refused(result, message: str) -> None:
    said = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert result.exit_code == 3, result.stderr
    assert len(said) == 1
    assert message in said[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_weights_that_are_not_numbers_are_named(run_cnnviz, photos, damaged, tmp_path, command):
    before = sorted(tmp_path.rglob("*"))
    result = run_cnnviz(*COMMANDS[command], "-m", "squeezenet1_1", "-w", damaged / "nan.pth")
    refused(result, "nan.pth' has weights that are not finite: 'features.6.squeeze.bias' holds NaN.")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", ["classify", "filters", "dream"])
def test_infinite_weights_are_named(run_cnnviz, photos, damaged, command):
    result = run_cnnviz(*COMMANDS[command], "-m", "squeezenet1_1", "-w", damaged / "-inf.pth")
    refused(result, "-inf.pth' has weights that are not finite: 'features.6.squeeze.bias' holds infinite values.")


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in WITHOUT_A_PASS])
def test_a_network_that_overflows_is_told_of_by_its_layer(run_cnnviz, photos, damaged, command):
    result = run_cnnviz(*COMMANDS[command], "-m", "squeezenet1_1", "-w", damaged / "huge.pth")
    refused(result, "of squeezenet1_1 holds infinite values, though its weights are finite: numbers end at 3.4e38")


@pytest.fixture
def lenet(tmp_path):
    """Options for a LeNet-5 of so many classes, whose last weights are multiplied by a factor."""

    def make(classes: int, factor: float = 1.0) -> tuple:
        torch.manual_seed(0)
        module = LeNet5(num_classes=classes, channels=3)
        with torch.no_grad():
            module.classifier.fc5.weight.mul_(factor)
        torch.save(module.state_dict(), tmp_path / "lenet.pth")
        return "-m", "lenet5", "-w", "lenet.pth"

    return make


def test_one_logit_is_a_sigmoid_at_the_prompt(run_cnnviz, photos, lenet):
    options = (*lenet(1, 20.0), "--json")
    network = cnnviz.load_network("lenet5", "lenet.pth", device="cpu")
    pixels = cnnviz.read_image("cup.png", size=(32, 32))
    chance = round(float(network(pixels).sigmoid().detach()), 6)
    assert 0.05 < chance < 0.95

    def told(*arguments) -> dict:
        result = run_cnnviz(*arguments, *options)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    one = {"index": 0, "label": "class 0", "probability": chance}
    assert told("classify", "cup.png")["predictions"] == [one]
    assert told("saliency", "cup.png")["target"] == one
    assert told("compare", "cup.png", "--methods", "saliency")["networks"][0]["predicted"] == one
    found = told("occlusion", "cup.png", "--patch", 8)
    assert found["score"] == chance
    assert any(abs(drop) > 1e-3 for row in found["drops"] for drop in row)
    checked = told("saliency", "cup.png", "--check", "-f")["check"]
    assert checked["deletion"][0] == pytest.approx(chance, abs=1e-4)
    page = told("report", "cup.png", "--methods", "saliency,occlusion")["pictures"][0]
    assert page["predictions"] == [one] and page["target"] == one
    made = told("visualize", "--class", 0, "--steps", 2)
    assert 0 < made["pictures"][0]["probability"] < 1


@pytest.mark.parametrize(
    "command",
    [
        ("saliency",),
        ("saliency", "--method", "integrated", "--steps", 2),
        ("guided",),
        ("gradcam",),
        ("occlusion", "--patch", 8),
        ("compare", "--methods", "saliency,occlusion"),
        ("report", "--methods", "saliency,gradcam"),
    ],
)
def test_a_map_that_is_zero_everywhere_is_said_so(run_cnnviz, photos, lenet, command):
    result = run_cnnviz(command[0], "cup.png", *command[1:], *lenet(3, 0.0), "--json")
    assert result.exit_code == 0, result.stderr
    assert "for class " in result.stderr and "is zero everywhere." in result.stderr
    record = json.loads(result.stdout)
    place = record.get("networks", record.get("pictures", [record]))[0]
    assert "zero everywhere" in json.dumps(place["blank"])
    sound = run_cnnviz(command[0], "cup.png", *command[1:], *lenet(3, 5.0), "--json", "-f")
    assert '"blank"' not in sound.stdout and "everywhere" not in sound.stderr


def test_a_map_that_is_nowhere_positive_is_said_so():
    from cnnviz.attribution.blank import blankness

    words = [blankness(torch.tensor(values)) for values in ([-1.0, -2.0], [-1.0, 0.0], [0.0, 0.0], [-1.0, 1.0])]
    assert words == ["negative everywhere", "zero or negative everywhere", "zero everywhere", None]


@pytest.mark.parametrize(
    "command",
    [
        ("visualize", "--class", 3, "--steps", 1, "--size", 64),
        ("dream", "cup.png", *SIZE, "--steps", 1, "--octaves", 1),
        ("invert", "cup.png", *SIZE, "--layer", "fire3", "--steps", 1),
        ("style", "cup.png", "--style", "photos/cat.png", *SIZE, "--steps", 1),
        ("texture", "cup.png", "--size", 64, "--sample-size", 64, "--steps", 1),
    ],
)
def test_what_is_measured_before_an_encoding_that_loses_something_is_said_so(run_cnnviz, photos, command):
    options = ("-m", "squeezenet1_1", "--json")
    lossy = run_cnnviz(*command, *options, "-o", "out.jpg")
    assert lossy.exit_code == 0, lossy.stderr
    assert json.loads(lossy.stdout)["measured"] == "before encoding as .jpg"
    assert "measured" not in json.loads(run_cnnviz(*command, *options, "-o", "out.png").stdout)
