"""What somebody meets who types a command for the first time: defaults, notes, and what an interruption leaves."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
from PIL import Image

from cnnviz.figures import inversion, style, texture
from cnnviz.pipeline.step_monitor import StepMonitor

NET = ("-m", "squeezenet1_1")


@pytest.fixture
def photo(tmp_path, samples):
    Image.open(samples / "chelsea.png").convert("RGB").resize((96, 64)).save(tmp_path / "cat.png")
    return "cat.png"


def interrupted(run_cnnviz, monkeypatch, after, *arguments):
    """Run, and be interrupted at the so many-th step of all."""
    told, steps = StepMonitor.__call__, []

    def interrupt(self, step):
        told(self, step)
        steps.append(step)
        if len(steps) == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StepMonitor, "__call__", interrupt)
        result = run_cnnviz(*arguments)
    assert result.exit_code == 130
    return result


SHEETS = {
    "invert": ("invert", "cat.png", *NET, "-s", 64, "--layer", "fire2,fire4,fire9", "--steps", 4),
    "strip": ("texture", "cat.png", *NET, "--sample-size", 48, "--strip", "--steps", 4, "--scales", 1),
    "sweep": ("style", "cat.png", "cat.png", *NET, "-s", 48, "--steps", 4, "--sweep", "content-weight=1,2,3"),
}


@pytest.mark.parametrize("name", SHEETS)
def test_an_interrupted_sheet_keeps_what_is_finished(run_cnnviz, photo, tmp_path, monkeypatch, name):
    captions = []

    def watched(draw):
        def drawn(tiles, *arguments, **named):
            said = named.get("captions") or next(a for a in arguments if isinstance(a, list))
            captions.append((len(tiles), said))
            return draw(tiles, *arguments, **named)

        return drawn

    for module, kind in ((inversion, "panel"), (texture, "panel"), (style, "grid")):
        monkeypatch.setattr(module, kind, watched(getattr(module, kind)))
    result = interrupted(run_cnnviz, monkeypatch, 10, *SHEETS[name], "-o", "sheet.png")
    tiles, said = captions[-1]
    assert tiles == len(said) == {"invert": 4, "strip": 4, "sweep": 3}[name]  # two are finished, the third begun
    assert said[-1].endswith(": unfinished")
    assert not any("unfinished" in text for text in said[:-1])
    assert "sheet.png holds" in result.stderr and "finished" in result.stderr
    assert "--skip-existing makes it whole" in result.stderr
    line = run_cnnviz("info", "--command", "sheet.png").stdout
    assert line.rstrip().endswith("-o sheet.png --skip-existing")


def test_between_two_parts_nothing_is_shown_as_unfinished(run_cnnviz, photo, tmp_path, monkeypatch):
    from cnnviz.synthesis import inversion

    judged, measure = [], inversion.feature_error

    def interrupt(*arguments):
        judged.append(0)
        if len(judged) == 3:
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(inversion, "feature_error", interrupt)
    result = run_cnnviz(*SHEETS["invert"], "-o", "sheet.png")
    assert result.exit_code == 130
    assert "fire2, fire4 finished" in result.stderr


@pytest.mark.parametrize("command", ["style", "texture"])
def test_the_state_is_named_with_its_size(run_cnnviz, photo, tmp_path, monkeypatch, command):
    common = ("-o", "a.png", "--steps", 6, "--scales", 1, *NET)
    named = ("cat.png", "cat.png", "-s", 48) if command == "style" else ("cat.png", "--sample-size", 48)
    result = interrupted(run_cnnviz, monkeypatch, 4, command, *named, *common)
    size = (tmp_path / "a.state").stat().st_size / 1e6
    assert "a.png holds the image so far." in result.stderr
    assert f"a.state ({size:.3g} MB) holds how to go on. The same command with --resume does." in result.stderr
    line = run_cnnviz("info", "--command", "a.png").stdout
    assert line.rstrip().endswith("-o a.png --resume")
    assert run_cnnviz(*shlex.split(line)[1:]).exit_code == 0
    assert not (tmp_path / "a.state").exists()
    assert "--resume" not in run_cnnviz("info", "--command", "a.png").stdout


def test_style_says_at_what_size_it_paints_and_what_more_would_take(run_cnnviz, photo, monkeypatch):
    from cnnviz.tasks.style import DEFAULT_SIDES

    monkeypatch.setitem(DEFAULT_SIDES, "cpu", 64)
    common = ("style", "cat.png", "cat.png", *NET, "--steps", 2, "--scales", 1, "--device", "cpu")
    told = run_cnnviz(*common, "-o", "a.png").stderr
    assert "Painting at 64 px, the shorter side. --size N sets it." in told
    assert "512 px would take about" in told and "--size 512 sets it." in told
    asked = run_cnnviz(*common, "-o", "b.png", "--size", 64).stderr
    assert "Painting at" not in asked and "would take" not in asked
    assert np.array_equal(Image.open("a.png"), Image.open("b.png"))
    parameters = json.loads(run_cnnviz("info", "a.png").stdout)["parameters"]
    assert not {"size", "seconds"} & set(parameters)


@pytest.mark.parametrize("command", ["activations", "patches"])
def test_a_layer_half_way_down_is_shown_if_none_is_named(run_cnnviz, photo, command):
    small = ("-s", 64, "--json", "--store", "store") if command == "patches" else ("-s", 64, "--json")
    usual = json.loads(run_cnnviz(command, "cat.png", *NET, *small, "-o", "a.png").stdout)
    named = json.loads(run_cnnviz(command, "cat.png", *NET, *small, "-o", "b.png", "--layer", usual["layer"]).stdout)
    assert usual["layer"] not in ("input", "fire9")
    assert np.array_equal(Image.open("a.png"), Image.open("b.png"))
    assert named["layer"] == usual["layer"]


@pytest.mark.parametrize("command", ["classify", "embed"])
def test_the_note_on_the_embedded_network_is_one_short_line_and_in_the_json(run_cnnviz, photo, command):
    more = ("--method", "pca", "--store", "store", "-o", "a.png") if command == "embed" else ()
    result = run_cnnviz(command, "cat.png", "-s", 64, "--json", *more)
    notes = [line for line in result.stderr.splitlines() if "embedded" in line]
    assert len(notes) == 1 and len(notes[0]) <= 110
    note = json.loads(result.stdout)["note"]
    assert notes[0].endswith(note)
    assert (
        json.loads(run_cnnviz(command, "cat.png", "-s", 64, "--json", "-q", *more, *(("-f",) if more else ())).stdout)[
            "note"
        ]
        == note
    )
    assert "note" not in json.loads(run_cnnviz("classify", "cat.png", *NET, "-s", 64, "--json").stdout)


def test_defaults_that_were_looked_at():
    from cnnviz.synthesis.settings import InversionSettings, TextureSettings

    assert InversionSettings().steps == 80
    assert TextureSettings().steps == 200


def test_a_file_whose_name_looks_like_an_option_and_a_value_that_is_none(run_cnnviz, photo, tmp_path):
    (tmp_path / photo).rename(tmp_path / "-cat.png")
    result = run_cnnviz("saliency", "-cat.png")
    assert result.exit_code == 2
    assert "The file -cat.png is named as ./-cat.png." in " ".join(result.stderr.replace("│", " ").split())
    assert run_cnnviz("saliency", "./-cat.png", *NET, "-s", 64).stdout == "-cat.saliency.png\n"
    assert "Value error" not in run_cnnviz("saliency", "./-cat.png", "--method", "nothing").stderr


def test_json_of_an_image_too_small_to_be_measured_is_json(run_cnnviz, tmp_path):
    Image.new("RGB", (5, 5), (200, 10, 10)).save(tmp_path / "tiny.png")
    record = json.loads(run_cnnviz("fool", "tiny.png", *NET, "-s", 64, "--json").stdout)
    assert record["ssim"] is None
