"""From a recipe back to the command line that makes the picture again, as it is typed where it was typed before."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from cnnviz.cli.command import options_of
from cnnviz.cli.options.renamed import modern_option, modern_value
from cnnviz.pipeline.checkpoint import SUFFIX as STATE
from cnnviz.pipeline.recipe import COMPANION, MAIN, SNAPSHOT, UNFINISHED


def command_line(recipe: Mapping[str, Any], output: Path | str | None = None, *more: str) -> str:
    """The command that makes the picture again from the same inputs, as a shell takes it.

    ``output`` is where it is written, if the command writes anything; ``more`` are further options.
    """
    name = str(recipe["command"])
    known = options_of(name)
    parts = ["cnnviz", *name.split(), *map(_no_option, recipe.get("inputs", []))]
    settings = {"model": recipe.get("model"), "seed": recipe.get("seed"), **recipe.get("parameters", {})}
    if "target" in recipe:
        settings["target"] = recipe["target"]["index"]
    for old, value in settings.items():
        option = modern_option(name, old)
        if not known or option in known:
            parts += _typed(f"--{option.replace('_', '-')}", modern_value(option, value))
    if output is not None and "output" in known:
        parts += _typed("-o", str(output))
    return " ".join(map(_quoted, [*parts, *more]))


def _typed(option: str, value: Any) -> list[str]:
    """An option with its value, as words."""
    if value is None:
        return []
    if isinstance(value, bool):  # a recipe has what differs from the defaults: False is of an option that is on
        return [option if value else f"--no-{option[2:]}"]
    if isinstance(value, list):
        return [word for item in value for word in _typed(option, item)]
    text = str(value)
    return [f"{option}={text}"] if text.startswith("-") and option.startswith("--") else [option, _no_option(text)]


def _no_option(name: str) -> str:
    return f"./{name}" if name.startswith("-") and name != "-" else name


def _quoted(part: str) -> str:
    """One word of a command line as bash and zsh take it; what a terminal would obey is written as its code."""
    if part.isprintable():
        return shlex.quote(part)
    signs = (s if s.isprintable() and s not in "\\'" else "".join(f"\\x{b:02x}" for b in os.fsencode(s)) for s in part)
    return f"$'{''.join(signs)}'"


def again(recipe: Mapping[str, Any], picture: Path) -> str:
    """The command that makes ``picture`` again, beside it, or, where it was interrupted, finishes it."""
    if UNFINISHED in recipe and not recipe.get(SNAPSHOT) and COMPANION not in recipe:
        goes_on = picture.with_suffix(STATE).exists() and "resume" in options_of(str(recipe["command"]))
        return command_line(recipe, picture, "--resume" if goes_on else "--skip-existing")
    companion, name = str(recipe.get(COMPANION, "")), picture.name
    if companion and name.endswith(companion):
        stem, suffix = name[: -len(companion)], str(recipe.get(MAIN, ".png"))
    else:
        stem, suffix = picture.stem, picture.suffix or ".png"
    return command_line(recipe, _free(picture.with_name(f"{stem}.again"), suffix, companion))


def _free(base: Path, suffix: str, companion: str) -> Path:
    """``base`` with its suffix, and a number where that, or what is written beside it, is there already."""
    names = (base.name if number == 1 else f"{base.name}-{number}" for number in count(1))
    taken = [suffix, companion] if companion else [suffix]
    free = next(name for name in names if not any(os.path.lexists(base.with_name(name + end)) for end in taken))
    return base.with_name(free + suffix)


def numbered(suffix: str = ".png") -> Callable[[Mapping[str, Any]], str]:
    """What types one recipe after another, each with an output of its own: ``cat.report-03.gradcam.png``."""
    numbers = count(1)

    def typed(recipe: Mapping[str, Any]) -> str:
        stem = Path(next(iter(recipe.get("inputs", [])), "picture")).stem
        command = str(recipe["command"])
        ending = ".html" if command == "report" else suffix
        return command_line(recipe, f"{stem}.report-{next(numbers):02}.{command.partition(' ')[0]}{ending}")

    return typed
