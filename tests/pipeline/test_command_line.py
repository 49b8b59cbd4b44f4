"""A recipe as a command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cnnviz.pipeline.command_line import command_line, numbered_commands, repeating_command
from cnnviz.pipeline.recipe import COMPANION, MAIN, UNFINISHED

RECIPE: dict[str, Any] = {"command": "saliency", "inputs": ["cat.png"], "seed": 3, "parameters": {"size": 64}}


class Renamed:
    """``size`` is called ``side`` now, and ``seed`` is gone."""

    def takes(self, command: str, option: str) -> bool:
        return option in ("side", "output")

    def modern(self, command: str, option: str, value: Any) -> tuple[str, Any]:
        return ("side", 2 * value) if option == "size" else (option, value)


def test_options_have_the_names_and_values_of_today():
    assert command_line(RECIPE, "a b.png") == "cnnviz saliency cat.png --seed 3 --size 64 -o 'a b.png'"
    assert command_line(RECIPE, "a.png", options=Renamed()) == "cnnviz saliency cat.png --side 128 -o a.png"


def test_switches_lists_and_texts_that_look_like_options_are_quoted():
    parameters = {"raw": True, "augment": False, "layer": ["a", "b"], "title": "-x", "mask": None}
    line = command_line({"command": "fast-style apply", "inputs": ["-r.png"], "parameters": parameters})
    assert line == "cnnviz fast-style apply ./-r.png --raw --no-augment --layer a --layer b --title=-x"


def test_the_image_is_made_again_beside_itself_and_an_unfinished_one_is_finished(tmp_path: Path):
    image = tmp_path / "cat.png"
    image.touch()
    assert repeating_command(RECIPE, image).endswith(f"-o {tmp_path}/cat.again.png")
    (tmp_path / "cat.again.png").touch()
    assert repeating_command(RECIPE, image).endswith("cat.again-2.png")
    unfinished = {**RECIPE, UNFINISHED: 5}
    assert repeating_command(unfinished, image).endswith(f"-o {image} --skip-existing")
    (tmp_path / "cat.state").touch()
    assert repeating_command(unfinished, image).endswith(f"-o {image} --resume")
    beside = {**RECIPE, COMPANION: ".mask.png", MAIN: ".jpg"}
    assert repeating_command(beside, tmp_path / "dog.mask.png").endswith("dog.again.jpg")


def test_the_commands_of_a_page_write_files_of_their_own():
    write = numbered_commands()
    assert write(RECIPE).endswith("-o cat.report-01.saliency.png")
    assert write({**RECIPE, "command": "report"}).endswith("-o cat.report-02.report.html")


def test_what_writes_only_with_a_parameter():
    recipe = {"command": "classify", "inputs": ["val"], "parameters": {}}
    assert command_line(recipe, "out.png") == "cnnviz classify val"
    recipe["parameters"] = {"classes": "folder"}
    assert command_line(recipe, "out.png") == "cnnviz classify val --classes folder -o out.png"


@pytest.mark.parametrize(("fast", "typed"), [(True, " --fast-conv"), (False, " --no-fast-conv"), (None, "")])
def test_how_convolutions_were_computed_is_typed(fast, typed):
    recipe = {"command": "style", "inputs": ["a.png"], "model": "vgg19", "fast_conv": fast, "seed": 0}
    assert command_line(recipe) == f"cnnviz style a.png --model vgg19{typed} --seed 0"
