"""Help shows ``FILE``, ``N``, ``0..1`` for values, and nothing for switches."""

from __future__ import annotations

import inspect
import re
from enum import Enum
from pathlib import Path
from typing import Annotated

import pytest
import typer

from cnnviz.cli.options.metavar import range_metavar, with_metavar
from cnnviz.cli.reference import commands


class Color(str, Enum):
    gray = "gray"
    white = "white"


def test_many_choices_stand_in_the_help_where_lines_break_between_them():
    names = ["gradient", "smoothgrad", "integrated-gradients"]
    many = Enum("Method", {name: name for name in names}, type=str)  # type: ignore[misc]
    info = typer.Option(help="Which method.")
    keyword = inspect.Parameter.KEYWORD_ONLY
    shown = with_metavar(inspect.Parameter("method", keyword, annotation=Annotated[many, info])).annotation
    assert shown.__metadata__[0].metavar == "NAME"
    assert shown.__metadata__[0].help == "Which method: gradient, smoothgrad, integrated-gradients."
    assert info.help == "Which method."  # another command may have it too


@pytest.mark.parametrize(
    ("kind", "info", "metavar"),
    [
        (Color, typer.Option(), "gray|white"),
        (Path | None, typer.Option(), "FILE"),
        (list[Path], typer.Option(), "FILE"),
        (str | None, typer.Option(), "TEXT"),
        (str | None, typer.Option(metavar="NAME"), "NAME"),
        (str, typer.Argument(), "IMAGE"),
        (bool, typer.Option(), None),
    ],
)
def test_metavar_of_a_type(kind, info, metavar):
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameter = with_metavar(inspect.Parameter("image", keyword, annotation=Annotated[kind, info]))
    assert parameter.annotation.__metadata__[0].metavar == metavar


@pytest.mark.parametrize(
    ("kind", "least", "most", "metavar"),
    [
        (int, 1, 64, "1..64"),
        (float, 0, 1, "0..1"),
        (float, 0.05, 0.5, "0.05..0.5"),
        (int, 1, 1_000_000, "N"),
        (int, 16, 1_000_000, "16.."),
        (int, 1, None, "N"),
        (int, 0, 2**32 - 1, "N"),
        (float, 0, None, "X"),
        (float, None, None, "X"),
        (int, 128, None, "128.."),
        (float, None, 3, "..3"),
    ],
)
def test_metavar_of_a_range(kind, least, most, metavar):
    assert range_metavar(kind, least, most) == metavar


@pytest.mark.parametrize("command", list(commands()), ids=lambda command: command.name)
def test_help_shows_no_types(run_cnnviz, command):
    shown = run_cnnviz(*command.name.split(), "--help").output
    assert re.findall(r"<[^<>\n]*>|<=|\[x|range\]", shown) == []
    assert (
        f"{command.name} [OPTIONS] {' '.join(p.value for p in command.parameters if not p.is_option)}".strip() in shown
    )


@pytest.mark.parametrize("group", ["", "models", "fast-style"])
def test_help_of_groups_shows_no_types(run_cnnviz, group):
    assert re.findall(r"<[^<>\n]*>", run_cnnviz(*group.split(), "--help").output) == []
