"""``-m`` with files of one's own: trust, what is assumed, what recipes and JSON say, where prints go."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cnnviz.imaging.recipe import read_recipe

CODE = """
from torch import nn

open("marker", "w")


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, width, 3), nn.Linear(width, 5)

    def forward(self, x):
        print("in the forward pass")
        return self.head(self.conv(x).relu().mean((2, 3)))


def full(): return Net(), {"mean": (0.5,) * 3, "std": (0.5,) * 3, "labels": list("abcde")}
def broken(): raise ValueError("no")
"""


@pytest.fixture
def photo(tmp_path: Path, samples: Path) -> Path:
    """The working folder has my_net.py; a photo."""
    (tmp_path / "my_net.py").write_text(CODE)
    return samples / "chelsea.png"


def test_nothing_runs_without_trust(run_cnnviz, photo, tmp_path):
    for command in ("saliency", "layers", "filters"):
        done = run_cnnviz(command, *([photo] if command == "saliency" else []), "-m", "my_net.py:Net")
        assert done.exit_code == 2
        assert "'my_net.py:Net' was not opened" in done.stderr
        assert "--trust opens it" in done.stderr
    assert not (tmp_path / "marker").exists()
    (tmp_path / "net.pt2").write_bytes(b"")
    done = run_cnnviz("classify", photo, "-m", "net.pt2")
    assert (done.exit_code, "can run code while it is loaded" in done.stderr) == (2, True)
    assert run_cnnviz("classify", photo, "-m", "none.pt2", "--trust").exit_code == 3


def test_what_is_assumed_is_said_and_kept(run_cnnviz, photo):
    done = run_cnnviz("saliency", photo, "-m", "my_net.py:Net(width=3)", "--trust", "-s", 64, "--json", "-o", "map.png")
    assert done.exit_code == 0, done.stderr
    assert (
        "my_net.py:Net(width=3) does not say its mean, std and input range, which are assumed as ImageNet's. "
        "Give what is not so: --mean --std --input-range."
    ) in done.stderr
    assert "in the forward pass" in done.stderr
    (line,) = done.stdout.splitlines()
    assumed = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "input_range": [0.0, 1.0]}
    assert json.loads(line)["assumed"] == assumed
    recipe = read_recipe(Path("map.png"))
    assert (recipe["model"], recipe["assumed"]) == ("my_net.py:Net(width=3)", assumed)
    assert recipe["weights_sha256"]
    assert recipe["code_sha256"]


def test_what_is_given_is_not_assumed(run_cnnviz, photo):
    given = ("--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5")
    for model, options in (("my_net.py:Net", given), ("my_net.py:full", ())):
        done = run_cnnviz("classify", photo, "-m", model, "--trust", "-s", 64, "--json", *options)
        assert done.exit_code == 0, done.stderr
        assert "assumed" not in done.stdout + done.stderr
    done = run_cnnviz("visualize", "-m", "my_net.py:full", "--trust", "--layer", "conv", "--channel", 0, "--steps", 1)
    assert "does not say its image size, which is assumed as ImageNet's" in done.stderr


def test_a_recipe_gives_a_command_that_runs_with_a_warning(run_cnnviz, photo):
    run_cnnviz("saliency", photo, "-m", "my_net.py:Net", "--trust", "-s", 64, "-o", "map.png")
    for options in ((), ("--command",)):
        told = run_cnnviz("info", "map.png", *options)
        assert "--model my_net.py:Net" in told.stdout
        assert "--trust" in told.stdout
        assert "runs code or a program that the image names" in told.stderr
    words = told.stdout.split()[1:]
    assert run_cnnviz(*words, "-q").exit_code == 0
    run_cnnviz("saliency", photo, "-s", 64, "-m", "squeezenet1_1", "-o", "plain.png")
    assert not run_cnnviz("info", "plain.png").stderr


def test_trust_without_effect_is_said(run_cnnviz, photo):
    done = run_cnnviz("classify", photo, "-m", "squeezenet1_1", "--trust", "-s", 64)
    assert "--trust has no effect on a network that is no file with code" in done.stderr


def test_errors_of_the_file_are_one_sentence_and_debug_shows_more(run_cnnviz, photo):
    done = run_cnnviz("classify", photo, "-m", "my_net.py:broken", "--trust")
    assert done.exit_code == 3
    assert done.stderr.endswith("error: 'my_net.py:broken' failed at line 18 of 'my_net.py': ValueError: no.\n")
    assert "Traceback" in run_cnnviz("classify", photo, "-m", "my_net.py:broken", "--trust", "--debug").stderr


def test_names_of_results_hold_the_models_name(run_cnnviz, photo):
    done = run_cnnviz("filters", "-m", "my_net.py:Net(width=3)", "--trust")
    assert done.stdout == "my_net.py_Net_width_3.filters.png\n"
    done = run_cnnviz("saliency", photo, "-m", "my_net.py:Net", "--trust", "-s", 64, "-o", "{model}.png")
    assert done.stdout == "my_net.py_Net.png\n"


def test_networks_are_compared_with_one_of_a_file(run_cnnviz, photo):
    models = ("-m", "squeezenet1_1", "-m", "my_net.py:Net", "--trust")
    done = run_cnnviz("compare", photo, *models, "-s", 64, "--methods", "saliency", "--json", "-o", "map.png")
    assert done.exit_code == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["model"] == ["squeezenet1_1", "my_net.py:Net"]
    assert record["assumed"].keys() == {"my_net.py:Net"}
    assert "--trust has no effect" not in done.stderr
    assert run_cnnviz("info", "map.png", "--command").exit_code == 0


def test_layers_of_a_network_of_a_file(run_cnnviz, photo):
    done = run_cnnviz("layers", "-m", "my_net.py:Net", "--trust", "--json")
    assert json.loads(done.stdout.partition("\n")[0])["layer"] == "conv"


@pytest.mark.slow
def test_what_works_at_several_sizes_says_so_of_a_program_of_one(run_cnnviz, photo, tmp_path):
    import torch
    from torch import nn

    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    torch.export.save(torch.export.export(module.eval(), (torch.rand(1, 3, 32, 32),)), tmp_path / "net.pt2")
    own = ("-m", "net.pt2", "--trust")
    for command in (("texture", photo, *own), ("style", photo, "--style", photo, *own)):
        done = run_cnnviz(*command)
        assert (done.exit_code, "net.pt2 takes images of 32×32 pixels only" in done.stderr) == (2, True), done.stderr
    assert run_cnnviz("filters", *own).exit_code == 0
    done = run_cnnviz("classify", photo, *own, "--size", 64)
    assert (done.exit_code, "Leave out --size" in done.stderr) == (2, True), done.stderr
