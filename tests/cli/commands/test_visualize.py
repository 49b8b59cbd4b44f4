"""``cnnviz visualize`` as typed."""

from __future__ import annotations

import json
import shlex

import pytest
import torch
from PIL import Image
from torch import nn

from cnnviz.cli.options.known import KNOWN_OPTIONS
from cnnviz.pipeline.command_line import command_line

NET = ("-m", "squeezenet1_1")


def test_the_written_image_is_what_is_judged(run_cnnviz, squeezenet):
    import cnnviz

    outcome = run_cnnviz("visualize", "--class", "flamingo", *NET, "--size", 64, "--steps", 6, "--raw", "--json")
    fact = json.loads(outcome.stdout)
    assert fact["output"] == "flamingo.visualize.png"
    assert Image.open(fact["output"]).size == (64, 64)
    [told] = fact["pictures"]
    seen = squeezenet(cnnviz.read_image(fact["output"])).softmax(1)[0, 130]
    assert (told["index"], told["label"]) == (130, "flamingo")
    assert told["probability"] == pytest.approx(float(seen), abs=1e-4)


def test_several_classes_and_channels_make_sheets(run_cnnviz):
    two = run_cnnviz("visualize", "--target", "flamingo", "-t", "7", *NET, "--size", 48, "--steps", 2, "--json")
    assert [picture["index"] for picture in json.loads(two.stdout)["pictures"]] == [130, 7]
    sheet = run_cnnviz(
        *(
            "visualize",
            "--layer",
            "fire2",
            "--channel",
            "0-15,16",
            "--channel",
            "17",
            *NET,
            "--size",
            32,
            "--steps",
            1,
            "--json",
        ),
        *("-o", "{stem}.png"),
    )
    fact = json.loads(sheet.stdout)
    assert fact["output"] == "fire2-0-15,16,17.png"
    assert [picture["channel"] for picture in fact["pictures"]] == list(range(18))


def test_a_visualization_is_made_again_by_its_recipe(run_cnnviz, file_content):
    made = ("visualize", "--layer", "fire5", "--channel", "3,4", "--at", "center", *NET)
    assert run_cnnviz(*made, "--size", 48, "--steps", 3, "--seed", 5, "-o", "a.png").exit_code == 0
    line = json.loads(run_cnnviz("info", "a.png").stdout)["command_line"].split()
    assert run_cnnviz(*line[1:], "-o", "b.png").exit_code == 0
    assert file_content("a.png") == file_content("b.png")


def test_facets_start_from_photos(run_cnnviz, samples):
    outcome = run_cnnviz(
        *("visualize", "--target", "Egyptian cat", "--facets", 2, "--from", samples, *NET),
        *("--size", 64, "--steps", 1, "--json", "-o", "facets.png"),
    )
    assert [picture["index"] for picture in json.loads(outcome.stdout)["pictures"]] == [285, 285]


class _Painter(nn.Module):
    def __init__(self):
        super().__init__()
        self.color = nn.Linear(5, 3)

    def forward(self, code):
        return torch.tanh(self.color(code)).view(-1, 3, 1, 1).expand(-1, 3, 64, 64)


def test_a_users_generator_paints(run_cnnviz):
    torch.jit.trace(_Painter().eval(), torch.zeros(1, 5)).save("painter.pt")
    common = ("visualize", "--class", "flamingo", "--generator", "painter.pt", *NET, "--steps", 2)
    assert run_cnnviz(*common, "--latent", "5").exit_code == 0
    wrong = run_cnnviz(*common, "--latent", "6", "-o", "wrong.png")
    assert wrong.exit_code == 2
    assert "latent code of the shape (6,)" in wrong.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Name what to show"),
        (("--class", "flamingo", "--layer", "fire5"), "not both"),
        (("--class", "flamingo", "--channel", "3"), "Name it with --layer"),
        (("--layer", "fire5", "--facets", "3"), "one channel"),
        (("--class", "7", "--from", "."), "--facets 4 --from photos/"),
        (("--layer", "fire5", "--channel", "256", "--size", "48"), "channels 0 to 255"),
        (("--layer", "fire5", "--channel", "1", "--at", "up"), "row and a column"),
        (("--class", "7", "--generator", "none.pt"), "no generator"),
        (("--class", "martian"), "no class"),
    ],
)
def test_contradictions_are_one_sentence(run_cnnviz, arguments, message):
    outcome = run_cnnviz("visualize", *arguments, *NET)
    assert outcome.exit_code == 2
    assert message in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_a_recipe_of_the_version_before_is_a_command_of_today(run_cnnviz):
    recipe = {"command": "visualize", "inputs": [], "model": "squeezenet1_1", "seed": 0}
    shown = {"layer": "fire5", "channels": "3,4", "neuron": "centre", "size": 32, "steps": 1}
    line = command_line({**recipe, "parameters": shown}, "a.png", options=KNOWN_OPTIONS)
    assert "--layer fire5 --channel 3,4 --at center" in line
    assert run_cnnviz(*shlex.split(line)[1:]).stderr == ""
    shown = {"class": ["flamingo", "great white shark"], "size": 32, "steps": 1}
    line = command_line({**recipe, "parameters": shown}, "b.png", options=KNOWN_OPTIONS)
    assert run_cnnviz(*shlex.split(line)[1:]).exit_code == 0


def test_old_spellings_work_with_a_note(run_cnnviz, file_content):
    common = ("visualize", "--layer", "fire5", *NET, "--size", 32, "--steps", 1)
    old = run_cnnviz(*common, "--channels", 3, "--neuron", "centre", "-o", "a.png")
    assert run_cnnviz(*common, "--channel", 3, "--at", "center", "-o", "b.png").stderr == ""
    assert "--channels is called --channel now" in old.stderr and "--neuron is called --at now" in old.stderr
    assert file_content("a.png") == file_content("b.png")
