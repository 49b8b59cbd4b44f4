"""From a recipe to the command line that makes the image again, as it is typed in the folder of the first run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from cnnviz.pipeline.outputs import RECIPE_SUFFIX
from cnnviz.pipeline.recipe import COMPANION, LIKELIEST, MAIN, SNAPSHOT, UNFINISHED
from cnnviz.pipeline.step_monitor import STATE


class Options(Protocol):
    """The options that commands take today. Options are named as in recipes: ``style_weight``."""

    def takes(self, command: str, option: str) -> bool:
        """Whether the command has the option."""

    def modern(self, command: str, option: str, value: Any) -> tuple[str, Any]:
        """Today's name and value for an option in a recipe of any age."""


class AnyOptions:
    """Every command takes every option, and none was renamed."""

    def takes(self, command: str, option: str) -> bool:
        return True

    def modern(self, command: str, option: str, value: Any) -> tuple[str, Any]:
        return option, value


ANY_OPTIONS = AnyOptions()

_WRITES_WITH = {"classify": "classes"}
"""Commands that write files only with a certain parameter."""


def command_line(
    recipe: Mapping[str, Any], output: Path | str | None = None, *more: str, options: Options = ANY_OPTIONS
) -> str:
    """The command that makes the image again from the same inputs, quoted for a shell.

    ``output`` is where it is written, if the command writes anything; ``more`` are further options.
    """
    name = str(recipe["command"])
    parts = ["cnnviz", *name.split(), *map(_no_option, recipe.get("inputs", []))]
    settings = {"model": _model(recipe), "fast_conv": recipe.get("fast_conv"), "seed": recipe.get("seed")}
    settings |= recipe.get("parameters", {})
    if "target" in recipe and not recipe["target"].get(LIKELIEST):
        settings["target"] = ("-" if recipe["target"].get("against") else "") + str(recipe["target"]["index"])
    for old, old_value in settings.items():
        option, value = options.modern(name, old, old_value)
        if options.takes(name, option):
            parts += _typed(f"--{option.replace('_', '-')}", value)
    writes = _WRITES_WITH.get(name) in (None, *settings)
    if output is not None and writes and options.takes(name, "output"):
        parts += _typed("-o", str(output))
    return " ".join(map(_quoted, [*parts, *more]))


def _model(recipe: Mapping[str, Any]) -> Any:
    """The models named: all but the last, which is the program, where there is one."""
    model = recipe.get("model")
    if "exec" not in recipe.get("parameters", {}):
        return model
    return model[:-1] if isinstance(model, list) else None


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


RUN_CODE = ("--trust", "--exec")
"""Options by which a command runs code that is not of cnnviz."""


def runs_code(line: str) -> bool:
    """Whether a command line runs code that is not of cnnviz."""
    return any(word.partition("=")[0] in RUN_CODE for word in shlex.split(line))


def repeating_command(recipe: Mapping[str, Any], image: Path, options: Options = ANY_OPTIONS) -> str:
    """The command that makes ``image`` again, beside it, or, where it was interrupted, finishes it."""
    if UNFINISHED in recipe and not recipe.get(SNAPSHOT) and COMPANION not in recipe:
        resumes = image.with_suffix(STATE).exists() and options.takes(str(recipe["command"]), "resume")
        return command_line(recipe, image, "--resume" if resumes else "--skip-existing", options=options)
    companion, name = str(recipe.get(COMPANION, "")), image.name
    if companion and name.endswith(companion):
        stem, suffix = name[: -len(companion)], str(recipe.get(MAIN, ".png"))
    else:
        suffix = ".npy" if image.suffix == RECIPE_SUFFIX else image.suffix
        stem, suffix = image.stem, suffix or ".png"
    return command_line(recipe, _unused_path(image.with_name(f"{stem}.again"), suffix, companion), options=options)


def _unused_path(base: Path, suffix: str, companion: str) -> Path:
    """``base`` with its suffix, and a number where that, or what is written beside it, exists already."""
    names = (base.name if number == 1 else f"{base.name}-{number}" for number in count(1))
    ends = [suffix, companion] if companion else [suffix]
    unused = next(name for name in names if not any(os.path.lexists(base.with_name(name + end)) for end in ends))
    return base.with_name(unused + suffix)


def numbered_commands(options: Options = ANY_OPTIONS) -> Callable[[Mapping[str, Any]], str]:
    """``command_line`` for one recipe after another, each with its own output: ``cat.report-03.gradcam.png``."""
    numbers = count(1)

    def write(recipe: Mapping[str, Any]) -> str:
        stem = Path(next(iter(recipe.get("inputs", [])), "picture")).stem
        command = str(recipe["command"])
        ending = ".html" if command == "report" else ".png"
        output = f"{stem}.report-{next(numbers):02}.{command.partition(' ')[0]}{ending}"
        return command_line(recipe, output, options=options)

    return write
