"""Options and values that have another name now, or none; the old ones are taken for one more release, with a note."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from cnnviz.cli.console import ConsoleReporter
from cnnviz.cli.options.metavar import PlainCommand
from cnnviz.cli.options.values import require_values

RENAMED: dict[str, dict[str, str]] = {
    "fast-style apply": {"--model": "--style-model"},
    "fast-style list": {"--model": "--style-model"},
    "dream": {"--strength": "--step-size", "--keep-color": "--color-share", "--channels": "--channel"},
    "invert": {"--layers": "--layer"},
    "visualize": {"--channels": "--channel", "--neuron": "--at"},
    "activations": {"--channels": "--channel"},
    "patches": {"--channels": "--channel"},
    "report": {"--layers": "--layer", "--channels": "--channels-per-layer"},
    "style": {
        "--polish": "--adam-fraction",
        "--in-place": "--fixed-fraction",
        "--carry": "--keep-adam-state",
        "--no-carry": "--no-keep-adam-state",
    },
}
"""By command: an option's old spelling and its new one, as ``{"dream": {"--strength": "--step-size"}}``."""

RENAMED_VALUES: dict[str, dict[str, str]] = {
    "--at": {"centre": "center"},
    "--baseline": {"grey": "gray"},
    "--fill": {"grey": "gray"},
}
"""By option, of whatever command: a value's old spelling and its new one. These need no note."""

REMOVED: dict[str, dict[str, str]] = {
    "occlusion": {"--approximate": "every position is computed", "--no-approximate": "every position is computed"},
}
"""By command: a flag that is gone, and what is done now in any case."""

NOTES = "cnnviz.renamed"
"""Key of Click's ``context.meta``: the old spellings that were typed, each with its new one, or with an empty one."""


def modern(command: str, words: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """A command's words with new spellings for old, and the pairs of (old, new) options found, each once.

    Removed flags are left out, and paired with the empty word.
    """
    renamed, removed = RENAMED.get(command, {}), REMOVED.get(command, {})
    found: dict[str, str] = {}
    result: list[str] = []
    option = ""
    for place, word in enumerate(words):
        if word == "--":
            return [*result, *words[place:]], list(found.items())
        if word in removed:
            found[word] = ""
            continue
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            if name in renamed:
                found[name] = renamed[name]
                name = renamed[name]
            value = RENAMED_VALUES.get(name, {}).get(value, value)
            result.append(name + equals + value)
        else:
            result.append(RENAMED_VALUES.get(option, {}).get(word, word))
        option = name
    return result, list(found.items())


def modern_option(command: str, name: str) -> str:
    """The name of an option as recipes of today have it, for one of any age: ``layers`` -> ``layer``."""
    option = "--" + name.replace("_", "-")
    return RENAMED.get(command, {}).get(option, option).removeprefix("--").replace("-", "_")


def modern_value(name: str, value: object) -> object:
    """A value as options take it today, for one in a recipe of any age."""
    known: Mapping[str, str] = RENAMED_VALUES.get("--" + name.replace("_", "-"), {})
    return known.get(value, value) if isinstance(value, str) else value


def note_old_spellings(context: Any, reporter: ConsoleReporter) -> None:
    """A note on stderr for each old spelling that was typed."""
    for old, new in context.meta.get(NOTES, ()):
        if new:
            reporter.warn(f"{old} is called {new} now; the old name works for one more release.")
        else:
            reporter.warn(f"{old} has no effect any more: {REMOVED[context.info_name][old]}.")


def _clear(message: str, words: Sequence[str]) -> str:
    """A usage error's message without Typer's own prefix, and with how a name like ``-a.png`` is given."""
    plain = message.replace("Value error, ", "", 1)
    named = next((word for word in words if word.startswith("-") and os.path.lexists(word)), None)
    return f"{plain} The file {named} is named as ./{named}." if named else plain


def command_class(command: str) -> type[PlainCommand]:
    """The class of Click command that takes a command's old spellings too."""

    class Command(PlainCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            words, ctx.meta[NOTES] = modern(command, args)
            try:
                require_values(self.get_params(ctx), words)
                return super().parse_args(ctx, list(words))
            except typer.Exit:  # the help was asked for
                raise
            except Exception as error:  # a usage error, whose message names the new spellings
                if hasattr(error, "message"):
                    error.message = _clear(error.message, words)
                quiet = bool({"-q", "--quiet"} & set(args))
                note_old_spellings(ctx, ConsoleReporter(quiet=quiet, verbose=False, json=False))
                raise

    return Command
