"""``cnnviz info``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cnnviz.cli import console
from cnnviz.cli.options.known import KNOWN_OPTIONS
from cnnviz.cli.options.tools import DebugOption
from cnnviz.pipeline.command_line import repeating_command, runs_code

_DANGER = "This command runs code or a program that the image names: give it only if you know where both are from."


def info(
    image: Annotated[Path, typer.Argument(help="An image, video, or map in numbers that cnnviz wrote.", metavar="IMG")],
    command: Annotated[bool, typer.Option("--command", help="Print only the command that makes it again.")] = False,
    debug: DebugOption = False,
) -> None:
    """Print how an image was made, from the recipe in its file.

    Examples:
        cnnviz info chelsea.saliency.png
        cnnviz info --command chelsea.saliency.png
    """
    from cnnviz.imaging.recipe import read_recipe, require_command

    recipe = read_recipe(image)
    if command or "command" in recipe:
        require_command(recipe, image)
        recipe["command_line"] = repeating_command(recipe, image, KNOWN_OPTIONS)
        if runs_code(recipe["command_line"]):
            console.ConsoleReporter().warn(_DANGER)
    console.result(recipe["command_line"] if command else json.dumps(recipe, indent=2))
