"""``cnnviz info``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cnnviz.cli import console
from cnnviz.cli.options.known import KNOWN_OPTIONS
from cnnviz.cli.options.tools import DebugOption
from cnnviz.errors import CnnvizError, IncompleteError
from cnnviz.pipeline.command_line import repeating_command, runs_code
from cnnviz.pipeline.inputs import STDIN, ImageSource

_DANGER = "This command runs code or a program that the image names: give it only if you know where both are from."


def info(
    images: Annotated[
        list[Path],
        typer.Argument(
            help="Images, videos, or maps in numbers that cnnviz wrote, or '-' for one on standard input.",
            metavar="IMG...",
        ),
    ],
    command: Annotated[bool, typer.Option("--command", help="Print only the command that makes it again.")] = False,
    debug: DebugOption = False,
) -> None:
    """Print how an image was made, from the recipe in its file; of several, one JSON object a line, with their names.

    Examples:
        cnnviz info chelsea.saliency.png
        cnnviz info --command chelsea.saliency.png
        cnnviz info --command *.saliency.png > again.sh
    """
    if len(images) == 1:
        recipe = _recipe(images[0], command)
        console.result(recipe["command_line"] if command else json.dumps(recipe, indent=2))
        return
    failures = []
    for image in images:
        try:
            recipe = _recipe(image, command)
        except CnnvizError as error:
            console.ConsoleReporter().failed(str(image), error)
            failures.append(error.exit_code)
        else:
            console.result(recipe["command_line"] if command else json.dumps({"image": str(image), **recipe}))
    if failures:
        raise IncompleteError(max(failures))


def _recipe(image: Path, command: bool) -> dict[str, Any]:
    """An image's recipe, with the command line that makes it again; ImageError where it has none."""
    from cnnviz.imaging.recipe import read_recipe, require_command

    source = ImageSource(None if str(image) == STDIN else image).content()
    recipe = read_recipe(source)
    if command or "command" in recipe:
        require_command(recipe, source)
        place = Path("stdin.png") if isinstance(source, bytes) else image
        recipe["command_line"] = repeating_command(recipe, place, KNOWN_OPTIONS)
        if runs_code(recipe["command_line"]):
            console.ConsoleReporter().warn(_DANGER)
    return recipe
