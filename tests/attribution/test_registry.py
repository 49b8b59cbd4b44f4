"""The registry of attribution methods: every entry works, is complete, and costs no import of torch."""

from __future__ import annotations

import inspect
import shlex
import subprocess
import sys

import pytest
import typer

from cnnviz.attribution.registry import METHODS, by_key, methods_of, select_methods
from cnnviz.errors import UsageError
from cnnviz.pipeline.command_line import command_line

QUICK = {"samples": 2, "steps": 2, "patch": 16, "stride": 16, "masks": 24, "segments": 8, "cells": 4}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_makes_a_map_for_each_image(squeezenet, chelsea, name):
    import torch

    method = METHODS[name]
    pixels = torch.cat([chelsea[..., 64:128, 64:160], chelsea[..., :64, :96]])
    settings = method.accepted(**QUICK)
    maps = method(squeezenet, pixels, [285, 281], **settings)
    assert maps.shape == (2, 1, 64, 96)
    assert all(bool(found.min() < found.max()) for found in maps)
    assert method.signed or name == "occlusion" or maps.min() >= 0
    if method.batchable:
        alone = method(squeezenet, pixels[1:], 281, **settings)
        torch.testing.assert_close(maps[1:], alone, rtol=1e-3, atol=1e-3 * float(alone.abs().max()))


def test_every_entry_says_how_to_read_the_map_and_names_its_command():
    from cnnviz.cli.reference import commands

    offered = {command.name.removeprefix("cnnviz ") for command in commands()}
    for name, method in METHODS.items():
        assert name == method.name
        assert method.question.endswith("?") and method.caveat.endswith(".") and method.formula
        assert method.paper and method.cost
        assert method.command in offered


@pytest.mark.parametrize("name", METHODS)
def test_the_command_of_an_entry_takes_its_options_and_chooses_its_method(name):
    from cnnviz.cli.app import app
    from cnnviz.cli.commands import command_function
    from cnnviz.cli.options.settings import build

    method = METHODS[name]
    line = command_line({"command": method.command, "inputs": ["a.png"], "parameters": method.command_options})
    command = typer.main.get_command(app).commands[method.command]
    values = command.make_context(method.command, shlex.split(line)[2:]).params  # fails for an unknown option or value
    kind = inspect.signature(command_function(method.command), eval_str=True).parameters["task"].annotation
    assert build(kind, values).chosen is method


@pytest.mark.parametrize("name", METHODS)
def test_the_recipe_of_a_map_in_a_report_is_a_command_that_takes_all_its_parameters(name):
    import cnnviz.cli.app  # noqa: F401 - registers the options of the commands
    from cnnviz.cli.options.known import KNOWN_OPTIONS

    command, parameters = METHODS[name].overlay_command()
    assert [option for option in parameters if not KNOWN_OPTIONS.takes(command, option)] == []


def test_two_methods_with_one_key_are_refused():
    pairs = [("gradcam", METHODS["gradcam"]), ("gradcam", METHODS["guided-gradcam"])]
    with pytest.raises(ValueError, match="'gradcam' and 'guided-gradcam' are both chosen by 'gradcam'"):
        by_key(pairs)
    assert "guided-gradcam" not in methods_of("gradcam", "gradcam")  # which --guided chooses


def test_methods_are_found_by_command_and_by_name():
    offered = methods_of("saliency", "gradient")
    assert next(iter(offered)) == "gradient" and offered["gradient"] is METHODS["saliency"]
    assert {"smoothgrad", "integrated", "input-x-gradient"} <= set(offered)
    assert methods_of("guided", "guided")["deconvnet"] is METHODS["deconvnet"]
    assert list(select_methods("occlusion, saliency,occlusion")) == ["occlusion", "saliency"]
    assert list(select_methods("all")) == list(METHODS)
    assert {method.command for method in select_methods("cam").values()} == {"gradcam"}
    assert {"saliency", "gradcam", "deeplift"} <= set(select_methods("fast")) and "rise" not in select_methods("fast")
    assert next(iter(select_methods("rise,cam"))) == "rise"
    with pytest.raises(UsageError, match="did you mean gradcam"):
        select_methods("gardcam")


def test_the_registry_imports_no_torch():
    code = "import sys, cnnviz.attribution.registry, cnnviz.attribution.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
