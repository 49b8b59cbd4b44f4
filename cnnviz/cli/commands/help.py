"""``cnnviz help``: topics that concern several commands, and each command's own help."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from cnnviz.cli import console
from cnnviz.errors import UsageError

_FOLDER = Path(__file__).parents[1] / "topics"
_ENVIRONMENT = "environment"


def help(
    context: typer.Context,
    topic: Annotated[
        list[str] | None, typer.Argument(help="A topic or a command.", metavar="TOPIC", show_default=False)
    ] = None,
) -> None:
    """Explain a topic (inputs, outputs, layers, weights, pipelines, environment) or a command.

    Examples:
        cnnviz help
        cnnviz help pipelines
        cnnviz help saliency
    """
    wanted, root = " ".join(topic or ()), context.find_root().command
    commands = dict(_commands(root))
    if not wanted:
        console.result(_contents())
    elif wanted == _ENVIRONMENT:
        console.result("\n".join(_environment(commands)))
    elif wanted in topics():
        console.result(topics()[wanted].read_text(encoding="utf-8").rstrip())
    elif wanted in commands:
        root.main([*wanted.split(), "--help"], prog_name="cnnviz")
    else:
        near = difflib.get_close_matches(wanted, [*topics(), _ENVIRONMENT, *sorted(commands)], n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UsageError(f"There is no topic or command '{wanted}'{hint}; 'cnnviz help' lists the topics.")


def topics() -> dict[str, Path]:
    """The files of the topics, by name."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.txt"))}


def _contents() -> str:
    lines = ["Topics, for 'cnnviz help TOPIC':", ""]
    for name, path in topics().items():
        with path.open(encoding="utf-8") as text:
            lines.append(f"  {name:12} {text.readline().partition(': ')[2].strip()}")
    lines += [f"  {_ENVIRONMENT:12} variables that set options for good", ""]
    return "\n".join([*lines, "'cnnviz help COMMAND' is 'cnnviz COMMAND --help'; 'cnnviz --help' lists the commands."])


def _commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every command and group of Click below ``group``, by its words; groups after the commands beside them."""
    inner = sorted(group.commands.items(), key=lambda item: hasattr(item[1], "commands"))
    for name, command in inner:
        yield f"{prefix}{name}", command
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix}{name} ")


def _environment(commands: dict[str, Any]) -> Iterator[str]:
    yield "ENVIRONMENT: variables that set options for good"
    yield ""
    options: dict[str, Any] = {}
    for option in (p for command in commands.values() for p in command.params if p.envvar):
        options.setdefault(option.envvar, option)
    for variable, option in sorted(options.items()):
        yield f"  {variable:18} {option.opts[0]:13} {option.help}"
    yield ""
    yield "What is given on the command line wins. For switches, 1 and true turn them on."
    yield "Also used: TORCH_HOME (folder of downloaded weights), NO_COLOR, OMP_NUM_THREADS."
