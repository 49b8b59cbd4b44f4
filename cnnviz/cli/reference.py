"""The commands as data: names, arguments, options, examples, read from their declarations.

The reference in the docs, ``cnnviz help environment``, and the tests that run every example are made from this, so that
they agree with the program.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, get_origin

from typer.models import ArgumentInfo, OptionInfo, ParameterInfo

from cnnviz.cli.commands import COMMANDS
from cnnviz.cli.groups import registered
from cnnviz.cli.options.metavar import choices_of, usage_of


@dataclass(frozen=True)
class Parameter:
    """An option or argument: how it is typed, what stands for its value, its default and environment variable as
    texts (empty where there is none), the panel of the help it is listed in, and the values of which it takes one."""

    names: tuple[str, ...]
    value: str
    default: str
    help: str
    variable: str
    panel: str
    choices: tuple[str, ...] = ()

    @property
    def is_option(self) -> bool:
        return self.names[0].startswith("-")


@dataclass(frozen=True)
class Command:
    """A command: the words it is called by after ``cnnviz``, its summary, examples and parameters."""

    name: str
    summary: str
    examples: tuple[str, ...]
    parameters: tuple[Parameter, ...]

    @property
    def usage(self) -> str:
        arguments = [p.value for p in self.parameters if not p.is_option]
        options = ["[OPTIONS]"] if any(p.is_option for p in self.parameters) else []
        return " ".join(["cnnviz", self.name, *options, *arguments])


def commands() -> Iterator[Command]:
    """Every command, in the order of the help."""
    for name in sorted(COMMANDS, key=lambda name: " " in name):
        (info,) = registered(name).registered_commands
        assert info.callback is not None
        examples = (info.epilog or "").removeprefix("Examples:").split("\n\n")
        yield Command(
            name,
            inspect.cleandoc(info.help or ""),
            tuple(line.strip() for line in examples if line.strip()),
            tuple(_parameters(info.callback)),
        )


def _parameters(function: Any) -> Iterator[Parameter]:
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        if get_origin(parameter.annotation) is None or not hasattr(parameter.annotation, "__metadata__"):
            continue  # the context
        info = next(item for item in parameter.annotation.__metadata__ if isinstance(item, ParameterInfo))
        if info.hidden:
            continue
        yield Parameter(
            _names(parameter.name, info),
            _value(parameter, info),
            _default(parameter.default, info),
            (info.help or "").replace("\n", " "),
            info.envvar if isinstance(info.envvar, str) else "",
            info.rich_help_panel or "",
            choices_of(parameter.annotation),
        )


def _names(name: str, info: ParameterInfo) -> tuple[str, ...]:
    if isinstance(info, ArgumentInfo):
        return (name,)
    # In Annotated, typer.Option takes the first name for its default.
    declared = [text for text in (info.default, *(info.param_decls or ())) if isinstance(text, str)]
    return tuple(declared) or (f"--{name.replace('_', '-')}",)


def _value(parameter: inspect.Parameter, info: ParameterInfo) -> str:
    """What stands for the value in the usage; empty for switches."""
    if isinstance(info, OptionInfo):
        return info.metavar or ""
    return usage_of(info.metavar or "", required=parameter.default is inspect.Parameter.empty)


def _default(default: Any, info: ParameterInfo) -> str:
    if isinstance(info.show_default, str):
        return info.show_default
    if default is inspect.Parameter.empty:
        return "required"
    if default is None or default is False or default == []:
        return ""
    return str(default.value if isinstance(default, Enum) else default)
