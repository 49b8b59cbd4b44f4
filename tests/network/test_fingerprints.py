"""The network that a file is of, by the names and shapes of its tensors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import cnnviz
from cnnviz.cli.hints import message_with_hint
from cnnviz.errors import ModelError
from cnnviz.network import architecture, catalogue, fingerprints
from cnnviz.network.checkpoint import Checkpoint
from cnnviz.network.fingerprints import fingerprint_facts, identify, likeliest

pytest.importorskip("torchvision")

PATH = Path("my.pth")
DAILY = ("squeezenet1_0", "squeezenet1_1", "resnet18", "resnext50_32x4d", "vgg11_bn", "mnasnet0_75", "lenet5")


def names() -> list:
    """All of the catalogue; most are for the exhaustive run."""
    return [pytest.param(name, marks=() if name in DAILY else pytest.mark.nightly) for name in catalogue.names()]


def tensors(name: str) -> dict[str, Tensor]:
    return architecture.parameter_shapes(name)[0]


def numbered(name: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names as ``nn.Sequential(nn.Sequential(*net.children()))`` has them; unchanged where tensors are in no part."""
    parts = architecture.part_names(name)
    if any(key.partition(".")[0] not in parts for key in state):
        return state
    split = {key: key.partition(".") for key in state}
    return {f"0.{parts.index(part)}.{rest}": state[key] for key, (part, _, rest) in split.items()}


def test_every_network_has_a_fingerprint():
    assert set(fingerprints.fingerprints()) == set(catalogue.names()), "run tools/update_fingerprints.py"


@pytest.mark.parametrize("name", names())
def test_every_network_is_told_from_all_others(name: str):
    """Bare, as a training script wraps it, without its classifier, and with another one."""
    stored = json.loads(Path(fingerprints.__file__).with_name("fingerprints.json").read_text(encoding="utf-8"))[name]
    expected, classifier = architecture.parameter_shapes(name)
    assert fingerprint_facts(name) == stored, "run tools/update_fingerprints.py"
    root = classifier.partition(".")[0] + "."
    body = {key: tensor for key, tensor in expected.items() if not key.startswith(root)}
    other = {f"{root}0.weight": torch.empty(5, 3, device="meta"), f"{root}2.bias": torch.empty(5, device="meta")}
    for state in (
        expected,
        {f"model.{key}": tensor for key, tensor in expected.items()},
        body,
        {**body, **other},
        numbered(name, body),
        {f"net.encoder.{key}": tensor for key, tensor in body.items()} | {"net.head.weight": other[f"{root}0.weight"]},
    ):
        found, remark = identify(Checkpoint(state), PATH)
        assert found == name
        assert remark == f"'my.pth' is taken for {name}, by the names and shapes of its tensors."


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet34", r"the nearest is resnet34, but it lacks \d+ tensors \(layer3\.5\."),
        ("squeezenet1_0", r"the nearest is squeezenet1_0, but it lacks 6 tensors \(features\.12\.squeeze\.weight"),
    ],
)
def test_the_nearest_network_is_named_with_what_differs(name: str, message: str):
    """A ResNet-34 without the last block of its third stage, a SqueezeNet 1.0 without its last."""
    gone = {"resnet34": "layer3.5.", "squeezenet1_0": "features.12."}[name]
    state = {key: tensor for key, tensor in tensors(name).items() if not key.startswith(gone)}
    with pytest.raises(ModelError, match=message) as refused:
        identify(Checkpoint(state), PATH)
    assert "those of no network of the catalogue" in str(refused.value)
    assert "--model" in message_with_hint(refused.value)


def test_other_shapes_are_shown():
    state = {**tensors("resnet18"), "layer2.0.conv1.weight": torch.empty(96, 64, 3, 3, device="meta")}
    with pytest.raises(
        ModelError,
        match=r"resnet18, but it has other shapes for 1 tensor \(layer2\.0\.conv1\.weight: 96×64×3×3 instead ",
    ):
        identify(Checkpoint(state), PATH)


def test_weights_of_a_sibling_are_called_that(tmp_path: Path):
    """With the wrong name, the right one is said."""
    module = architecture.build_random("squeezenet1_0", 5, seed=1)
    torch.save({"state_dict": {f"net.{key}": t for key, t in module.state_dict().items()}}, tmp_path / "my.pth")
    with pytest.raises(
        ModelError, match=r"does not fit squeezenet1_1: it lacks .*Its tensors are those of squeezenet1_0\."
    ) as refused:
        cnnviz.load_network("squeezenet1_1", weights=tmp_path / "my.pth")
    assert message_with_hint(refused.value).endswith("--model squeezenet1_0, or leave out --model.")
    assert cnnviz.load_network(weights=tmp_path / "my.pth", device="cpu").name == "squeezenet1_0"


def test_what_is_like_nothing_is_said_to_be_so(tmp_path: Path):
    torch.save(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(8, 2)).state_dict(), tmp_path / "my.pth")
    with pytest.raises(ModelError, match=r"\('0\.weight' and '0\.bias', …\) are those of no network of the catalogue"):
        cnnviz.load_network(weights=tmp_path / "my.pth")


def test_the_name_in_the_file_helps(tmp_path: Path):
    torch.save({"state_dict": {"a.weight": torch.ones(2)}, "arch": "my_net_50"}, tmp_path / "my.pth")
    with pytest.raises(ModelError, match="The file says that it is 'my_net_50'"):
        cnnviz.load_network(weights=tmp_path / "my.pth")


def test_shares_are_estimated_from_sketches():
    ranked = {name: (shapes, names) for name, shapes, names in likeliest(tensors("resnet34"))}
    assert ranked["resnet34"] == (1.0, 1.0)
    assert 0.3 < ranked["resnet18"][0] < 0.9
    assert ranked["vgg16"] == (0.0, 0.0)


def test_the_command_line_says_what_a_file_was_taken_for(run_cnnviz, samples: Path, tmp_path: Path):
    module = architecture.build_random("squeezenet1_1", 3, seed=1)
    torch.save({"model": module.state_dict(), "classes": ["cat", "cup", "rocket"]}, tmp_path / "my.pth")
    run = run_cnnviz("classify", samples / "chelsea.png", "-w", "my.pth", "-s", 64, "--json")
    assert run.exit_code == 0, run.stderr
    said = json.loads(run.stdout)
    assert said["model"] == "squeezenet1_1"
    assert said["note"] == "'my.pth' is taken for squeezenet1_1, by the names and shapes of its tensors."
    assert said["note"] in run.stderr
    assert said["checkpoint"] == {"key": "model", "labels_from": "classes"}
    assert {each["label"] for each in said["predictions"]} == {"cat", "cup", "rocket"}
    run = run_cnnviz("layers", "-w", "my.pth", "--find", "fire9")
    assert run.exit_code == 0 and said["note"] in run.stderr


@pytest.mark.parametrize("weights", ["IMAGENET1K_V1", "embedded"])
def test_published_weights_need_their_model(run_cnnviz, samples: Path, weights: str):
    run = run_cnnviz("classify", samples / "chelsea.png", "-w", weights)
    assert run.exit_code == 2
    assert "name it too" in run.stderr


def test_recipes_tell_the_head_and_the_commands_repeat_it(run_cnnviz, samples: Path, tmp_path: Path):
    module = architecture.build_random("resnet18", 3, seed=1)
    module.fc = nn.Sequential(nn.Linear(512, 16), nn.GELU(), nn.Linear(16, 3))
    torch.save(module.state_dict(), tmp_path / "my.pth")
    maps = []
    for activation in ("gelu", "relu"):
        run = run_cnnviz(
            *("saliency", samples / "chelsea.png", "-w", "my.pth", "-s", 64, "-o", f"{activation}.png"),
            *("--head-activation", activation, "--view", "heat"),
        )
        assert run.exit_code == 0, run.stderr
        assert "holds no activations" not in run.stderr
        recipe = json.loads(run_cnnviz("info", f"{activation}.png").stdout)
        assert recipe["checkpoint"] == {
            "head": f"Linear 512→16, {'GELU' if activation == 'gelu' else 'ReLU'}, Linear 16→3",
            "head_activation": activation,
        }
        maps.append((tmp_path / f"{activation}.png").read_bytes())
        command = run_cnnviz("info", f"{activation}.png", "--command").stdout
        assert f"--model resnet18 --seed 0 --head-activation {activation}" in command
    assert maps[0] != maps[1]
    run = run_cnnviz("saliency", samples / "chelsea.png", "-w", "my.pth", "-s", 64)
    assert "is taken for Linear 512→16, ReLU, Linear 16→3. --head-activation NAME" in run.stderr
