"""``cnnviz style`` as typed."""

from __future__ import annotations

import json
import re
import shlex

import numpy as np
import pytest
from PIL import Image, ImageChops

from cnnviz.cli.options.known import KNOWN_OPTIONS
from cnnviz.imaging.recipe import read_recipe
from cnnviz.pipeline.command_line import command_line

NET = ("-m", "squeezenet1_1")


def test_paints_a_content_in_a_style_and_tells_what_it_did(run_cnnviz, samples):
    outcome = run_cnnviz(
        "style", samples / "chelsea.png", samples / "starry.jpg", *NET, "--size", 48, "--steps", 4, "--json"
    )
    assert outcome.exit_code == 0
    fact = json.loads(outcome.stdout)
    assert (fact["width"], fact["height"]) == (72, 48)
    assert fact["styles"] == ["starry.jpg"]
    assert set(fact["losses"]) == {"loss", "content", "style", "palette", "tv", "lightness"}
    assert Image.open(fact["output"]).size == (72, 48)
    assert read_recipe(fact["output"])["parameters"] == {
        "style": [str(samples / "starry.jpg")],
        "size": 48,
        "steps": 4,
    }


def test_the_recipe_makes_the_same_picture_again(run_cnnviz, samples, tmp_path, file_content):
    styles = (f"{samples / 'starry.jpg'}:2", samples / "mosaic.jpg")
    common = ("--size", 48, "--steps", 4, "--seed", 7)
    assert run_cnnviz("style", samples / "chelsea.png", *styles, *NET, *common, "-o", "a.png").exit_code == 0
    line = shlex.split(json.loads(run_cnnviz("info", "a.png").stdout)["command_line"])
    assert line[:3] == ["cnnviz", "style", str(samples / "chelsea.png")]
    assert run_cnnviz(*line[1:], "-o", "b.png").exit_code == 0
    assert file_content("a.png") == file_content("b.png")


def test_many_contents_in_one_style(run_cnnviz, samples):
    outcome = run_cnnviz(
        *("style", samples / "coffee.png", "missing.png", samples / "chelsea.png", "--style", samples / "ink.jpg"),
        *(*NET, "--size", 40, "--steps", 2, "-o", "painted/"),
    )
    assert outcome.exit_code == 1
    assert outcome.stdout.splitlines() == ["painted/coffee.style.png", "painted/chelsea.style.png"]
    assert "missing.png" in outcome.stderr


def test_a_sweep_is_a_sheet_of_its_values(run_cnnviz, samples):
    outcome = run_cnnviz(
        *("style", samples / "chelsea.png", samples / "ink.jpg", *NET, "--size", 48, "--steps", 2, "--json"),
        *("--sweep", "style-weight=0.1,1,10"),
    )
    fact = json.loads(outcome.stdout)
    assert [row["style_weight"] for row in fact["sweep"]] == [0.1, 1, 10]
    assert Image.open(fact["output"]).width > 3 * 72


def test_a_mask_leaves_the_rest_of_the_photo(run_cnnviz, samples, tmp_path):
    mask = Image.new("L", (72, 48))
    mask.paste(255, (0, 0, 36, 48))
    mask.save(tmp_path / "mask.png")
    run_cnnviz(
        *("style", samples / "chelsea.png", samples / "mosaic.jpg", *NET, "--size", 48, "--steps", 6),
        *("--mask", "mask.png", "-o", "a.png"),
    )
    photo = Image.open(samples / "chelsea.png").convert("RGB").resize((72, 48), Image.Resampling.BILINEAR)
    difference = ImageChops.difference(photo, Image.open("a.png").convert("RGB"))
    assert max(high for _, high in difference.crop((37, 0, 72, 48)).getextrema()) <= 1
    assert max(high for _, high in difference.crop((0, 0, 36, 48)).getextrema()) > 20


@pytest.mark.parametrize("command", ["style", "texture"])
def test_an_interrupted_run_is_gone_on_with(run_cnnviz, samples, tmp_path, monkeypatch, command, file_content):
    from cnnviz.pipeline.step_monitor import StepMonitor

    pictures = [samples / "chelsea.png", samples / "starry.jpg"] if command == "style" else [samples / "gravel.png"]
    small = ("--size", 48, "--steps", 30) if command == "style" else ("--sample-size", 40, "--steps", 30)
    arguments = (command, *pictures, *NET, *small)
    assert run_cnnviz(*arguments, "-o", "whole.png").exit_code == 0

    told = StepMonitor.__call__

    def interrupt(self, step):
        told(self, step)
        if step.step == 20:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StepMonitor, "__call__", interrupt)
        assert run_cnnviz(*arguments, "-o", "part.png").exit_code == 130
    assert (tmp_path / "part.state").is_file()
    assert read_recipe(tmp_path / "part.png")["unfinished_at_step"] == 20

    changed = run_cnnviz(*arguments[:-1], 31, "-o", "part.png", "--resume")
    assert changed.exit_code == 2
    assert "other settings" in changed.stderr

    assert run_cnnviz(*arguments, "-o", "part.png", "--resume").exit_code == 0
    assert not (tmp_path / "part.state").exists()
    assert file_content("part.png") == file_content("whole.png")


def test_a_broken_state_is_named(run_cnnviz, samples, tmp_path):
    (tmp_path / "a.state").write_bytes(b"not a state")
    outcome = run_cnnviz(
        "style", samples / "chelsea.png", samples / "ink.jpg", *NET, "--size", 40, "-o", "a.png", "--resume"
    )
    assert outcome.exit_code == 2
    assert "a.state" in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("chelsea.png",), "at least one style"),
        (("chelsea.png", "ink.jpg", "--sweep", "seed=1,2"), "A sweep is"),
        (("chelsea.png", "ink.jpg", "--pooling", "median"), "--pooling"),
        (("chelsea.png", "ink.jpg", "--style-layer", "fire99"), "fire99"),
        (("chelsea.png", "ink.jpg:0"), "must be positive"),
    ],
)
def test_mistakes_are_told_in_a_sentence(run_cnnviz, samples, tmp_path, arguments, said):
    for name in ("chelsea.png", "ink.jpg"):
        (tmp_path / name).write_bytes((samples / name).read_bytes())
    outcome = run_cnnviz("style", *arguments, *NET, "--size", 40, "--steps", 2)
    assert outcome.exit_code == 2
    assert said in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_the_estimate_is_told_when_asked_for(run_cnnviz, samples):
    outcome = run_cnnviz("style", samples / "chelsea.png", samples / "ink.jpg", *NET, "--size", 40, "--steps", 2, "-v")
    assert "2 steps at 60×40 will take about" in outcome.stderr


def test_quality_options_reach_the_painting(run_cnnviz, samples):
    """Each changes the picture, in float32, by more than rounding; what is written says so."""
    pictures = (samples / "chelsea.png", samples / "ink.jpg")
    common = (
        *NET,
        "--precision",
        "fp32",
        "--size",
        40,
        "--steps",
        6,
        "--scales",
        2,
        "--optimizer",
        "adam",
        "--adam-fraction",
        0,
    )
    assert run_cnnviz("style", *pictures, *common, "-o", "plain.png").exit_code == 0
    plain = np.array(Image.open("plain.png").convert("RGB"), dtype=int)
    options = (
        *(("--average", 0.9), ("--no-keep-adam-state",), ("--pooling", "rescaled"), ("--layer-weights", "falling")),
        *(
            ("--content-target", "photo"),
            ("--lightness-weight", 2),
            ("--fixed-fraction", 0.5),
            ("--smoothing", "softmax"),
        ),
    )
    for number, option in enumerate(options):
        name = f"{number}.png"
        assert run_cnnviz("style", *pictures, *common, *option, "-o", name).exit_code == 0
        changed = np.abs(np.array(Image.open(name).convert("RGB")) - plain) > 3
        assert changed.mean() > 0.02, option
    line = json.loads(run_cnnviz("info", "1.png").stdout)["command_line"]
    assert "--no-keep-adam-state" in line


def test_the_help_shows_a_dozen_options_before_the_rare_ones(run_cnnviz, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    shown = run_cnnviz("style", "--help").stdout
    panels = dict.fromkeys(("Advanced", "Network", "Input", "Output", "Run"), 0)
    first = min(shown.index(f"─ {panel} ─") for panel in panels)
    assert 1 <= len(re.findall(r"^│ --", shown[:first], re.MULTILINE)) <= 12
    assert "--palette-weight" in shown[shown.index("─ Advanced ─") :]


def test_old_spellings_work_with_a_note_and_in_recipes(run_cnnviz, samples, tmp_path, file_content):
    common = ("style", samples / "chelsea.png", samples / "ink.jpg", *NET, "--size", 40, "--steps", 2)
    new = ("--adam-fraction", 0, "--fixed-fraction", 0.5, "--optimizer", "adam", "--no-keep-adam-state")
    old = ("--polish", 0, "--in-place", 0.5, "--optimizer", "adam", "--no-carry")
    assert run_cnnviz(*common, *new, "-o", "new.png").exit_code == 0
    said = run_cnnviz(*common, *old, "-o", "old.png").stderr
    assert "--polish is called --adam-fraction now" in said and "--no-carry is called --no-keep-adam-state now" in said
    assert file_content("new.png") == file_content("old.png")
    recipe = {"command": "style", "inputs": ["a.png"], "parameters": {"polish": 0.0, "carry": False}}
    assert command_line(recipe, options=KNOWN_OPTIONS) == "cnnviz style a.png --adam-fraction 0.0 --no-keep-adam-state"


def test_layers_may_be_repeated_or_listed(run_cnnviz, samples, tmp_path):
    common = ("style", samples / "chelsea.png", samples / "ink.jpg", *NET, "--size", 40, "--steps", 2)
    listed = ("--style-layer", "fire2,fire4", "--layer-weights", "2,1")
    assert run_cnnviz(*common, *listed, "-o", "listed.png").exit_code == 0
    repeated = ("--style-layer", "fire2", "--style-layer", "fire4", "--layer-weights", "2,1")
    assert run_cnnviz(*common, *repeated, "-o", "repeated.png").exit_code == 0
    listed, repeated = (Image.open(tmp_path / name).tobytes() for name in ("listed.png", "repeated.png"))
    assert listed == repeated
    wrong = run_cnnviz(*common, "--layer-weights", "rising")
    assert wrong.exit_code == 2 and "--layer-weights takes numbers" in wrong.stderr
