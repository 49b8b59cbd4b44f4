"""``cnnviz help``: what several commands have in common, told by topic; and each command's own help."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from cnnviz.cli import console
from cnnviz.cli.command import command
from cnnviz.cli.reference import Parameter, commands
from cnnviz.errors import UsageError

_FOLDER = Path(__file__).with_name("topics")
_ENVIRONMENT = "environment"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @command(app, "help", examples="cnnviz help\ncnnviz help pipelines\ncnnviz help saliency")
    def help(
        topic: Annotated[
            list[str] | None, typer.Argument(help="A topic or a command.", metavar="TOPIC", show_default=False)
        ] = None,
    ) -> None:
        """Explain a topic (inputs, outputs, layers, weights, pipelines, environment) or a command."""
        wanted = " ".join(topic or ())
        if not wanted:
            console.result(_contents())
        elif wanted == _ENVIRONMENT:
            console.result("\n".join(_environment(app)))
        elif wanted in topics():
            console.result(topics()[wanted].read_text(encoding="utf-8").rstrip())
        else:
            _help_of_command(app, wanted)


def topics() -> dict[str, Path]:
    """The topics that are written down, by name."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.txt"))}


def _contents() -> str:
    lines = ["Topics, for 'cnnviz help TOPIC':", ""]
    for name, path in topics().items():
        with path.open(encoding="utf-8") as text:
            lines.append(f"  {name:12} {text.readline().partition(': ')[2].strip()}")
    lines += [f"  {_ENVIRONMENT:12} variables that set options for good", ""]
    return "\n".join([*lines, "'cnnviz help COMMAND' is 'cnnviz COMMAND --help'; 'cnnviz --help' lists the commands."])


def _help_of_command(app: typer.Typer, name: str) -> None:
    words = {command.name for command in commands(app)}
    known = words | {word.partition(" ")[0] for word in words}
    if name not in known:
        near = difflib.get_close_matches(name, [*topics(), _ENVIRONMENT, *sorted(known)], n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UsageError(f"There is no topic or command '{name}'{hint}; 'cnnviz help' lists the topics.")
    app([*name.split(), "--help"], prog_name="cnnviz")


def _environment(app: typer.Typer) -> Iterator[str]:
    yield "ENVIRONMENT: variables that set options for good"
    yield ""
    options: dict[str, Parameter] = {}
    for parameter in (p for entry in commands(app) for p in entry.parameters if p.variable):
        options.setdefault(parameter.variable, parameter)
    for variable in sorted(options):
        parameter = options[variable]
        yield f"  {variable:18} {parameter.names[0]:13} {parameter.help}"
    yield ""
    yield "What is given on the command line wins. For switches, 1 and true turn them on."
    yield "Also heeded: TORCH_HOME (where weights are kept), NO_COLOR, OMP_NUM_THREADS."
