"""``cnnviz info`` of recipes of other programs, damaged ones, and odd names."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

RECIPE = {"command": "saliency", "inputs": ["cat.png"], "model": "squeezenet1_1", "seed": 0, "parameters": {"top": 3}}


def written(path, recipe: str):
    info = PngInfo()
    info.add_text("cnnviz", recipe, zip=True)
    Image.new("RGB", (4, 4)).save(path, pnginfo=info)
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"command": 3},
        {"command": "saliency; rm -rf ."},
        {"command": "\x1b[31m"},
        {"inputs": None},
        {"inputs": "cat.png"},
        {"inputs": [1, {}]},
        {"inputs": ["\ud800.png"]},
        {"inputs": ["a\0b.png"]},
        {"parameters": None},
        {"parameters": [1]},
        {"parameters": {"top": {"a": 1}}},
        {"parameters": {"\x1b[31m; rm": 1}},
        {"parameters": {"": 1}},
        {"model": 1},
        {"model": [{"a": 1}]},
        {"seed": "0; rm"},
        {"target": None},
        {"target": {}},
        {"target": {"index": "285"}},
    ],
)
def test_a_recipe_that_was_tampered_with_is_one_sentence(run_cnnviz, tmp_path, change):
    path = written(tmp_path / "a.png", json.dumps({**RECIPE, **change}))
    for arguments in (["info", path], ["info", "--command", path]):
        result = run_cnnviz(*arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith(f"error: '{path}' carries a recipe that tells no command")
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000 + "]" * 100_000,
        '{"command":' * 50_000 + "1" + "}" * 50_000,
        '{"command": "x", "parameters": ' + "[" * 50 + "]" * 50 + "}",
        '{"command": "x", "seed": ' + "1" * 5_000 + "}",
        "null",
        "{",
    ],
)
def test_deep_or_broken_recipes_are_none(run_cnnviz, tmp_path, text):
    result = run_cnnviz("info", written(tmp_path / "a.png", text))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "carries no cnnviz recipe" in result.stderr


def test_a_recipe_of_ones_own_is_shown(run_cnnviz, tmp_path):
    path = written(tmp_path / "a.png", '{"note": "mine"}')
    assert json.loads(run_cnnviz("info", path).stdout) == {"note": "mine"}
    assert run_cnnviz("info", "--command", path).exit_code == 1


@pytest.mark.skipif(sys.platform == "win32", reason="the line is for bash and zsh")
def test_odd_names_come_through_a_shell_as_they_are(run_cnnviz, tmp_path):
    names = ["a b.png", "$(touch x).png", "c;d.png", "it's.png", "\x1b[31m\n.png", "caf\udce9.png", "-f.png"]
    path = written(tmp_path / "a.png", json.dumps({**RECIPE, "inputs": names}))
    line = run_cnnviz("info", "--command", path).stdout.rstrip("\n")
    assert line.isprintable()
    typed = line.replace("cnnviz saliency", "printf '%s\\0'", 1)
    words = subprocess.run(["bash", "-c", typed], capture_output=True, check=True, cwd=tmp_path).stdout.split(b"\0")
    assert [os.fsdecode(word) for word in words[: len(names)]] == [*names[:-1], "./-f.png"]
    assert not (tmp_path / "x").exists()


def test_several_images_give_a_line_each_and_standard_input_is_one(run_cnnviz, tmp_path):
    one, two = (written(tmp_path / name, json.dumps(RECIPE)) for name in ("a.png", "b.png"))
    Image.new("RGB", (4, 4)).save(tmp_path / "plain.png")
    told = run_cnnviz("info", one, "plain.png", two)
    assert [json.loads(line)["image"] for line in told.stdout.splitlines()] == [str(one), str(two)]
    assert (told.exit_code, told.stderr) == (1, "error: 'plain.png' carries no cnnviz recipe.\n")
    lines = run_cnnviz("info", "--command", one, two).stdout.splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == [str(tmp_path / f"{stem}.again.png") for stem in "ab"]
    piped = run_cnnviz("info", "-", "--command", stdin=one.read_bytes())
    assert piped.stdout == lines[0].replace(str(tmp_path / "a.again.png"), "stdin.again.png") + "\n"
