"""The groups of commands: a command's file is imported when the command is called, not before."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import typer

from cnnviz.cli.command import add_command, help_of
from cnnviz.cli.commands import ALONE, COMMANDS, GROUPS, IMPLIED, command_docstring, command_function
from cnnviz.cli.options.known import load_with
from cnnviz.cli.options.metavar import PlainCommand, PlainGroup


class Commands(MutableMapping[str, Any]):
    """Click's commands and groups by name, each made when it is asked for.

    Args:
        group: the first word of all of them, as ``fast-style``; empty at the top.
    """

    def __init__(self, group: str = "") -> None:
        self.group = group
        self._made: dict[str, Any] = {}
        # Groups stand after the commands of one word, in the order of their first command.
        names = [name.partition(" ") for name in COMMANDS]
        inner = [second if group else first for first, _, second in names if first == group or not group]
        self._names = sorted(dict.fromkeys(inner), key=lambda name: not group and name in GROUPS)

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            if name not in self._names:
                raise KeyError(name)
            self._made[name] = _group(name) if not self.group and name in GROUPS else self._command(name)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        self._names.remove(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _command(self, name: str) -> Any:
        return typer.main.get_command(registered(f"{self.group} {name}".strip()))

    def summaries(self) -> dict[str, Any]:
        """Commands by name with only their help and panel, for a list of all commands."""
        return {name: self._summary(name) for name in self}

    def _summary(self, name: str) -> Any:
        full_name = f"{self.group} {name}".strip()
        if full_name in COMMANDS:
            text = help_of(command_docstring(full_name))
            return PlainCommand(name, help=text, rich_help_panel=None if self.group else COMMANDS[full_name])
        return PlainCommand(name, help=GROUPS[name], rich_help_panel=_panel(name))


class CommandGroup(PlainGroup):
    """The commands of the whole application."""

    group = ""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.commands = Commands(self.group)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        implied = IMPLIED.get(self.group)
        if implied and args and args[0] not in self.commands and _names_input(args[0]):
            args = [implied, *args]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        listed = copy.copy(self)
        listed.commands = self.commands.summaries()  # type: ignore[attr-defined]
        super(CommandGroup, listed).format_help(ctx, formatter)


def _names_input(word: str) -> bool:
    """Whether a word is an option or a file's name rather than a mistyped command."""
    if word in ("-h", "--help"):
        return False
    return word.startswith("-") or any(sign in word for sign in "./\\*?[") or Path(word).exists()


def _new_app(**settings: Any) -> typer.Typer:
    return typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False, **settings)


def _group(name: str) -> Any:
    """Click's group of the commands whose first word is ``name``."""
    kind = type("CommandGroup", (CommandGroup,), {"group": name})
    app = _new_app(cls=kind, name=name, help=GROUPS[name])
    app.callback(invoke_without_command=True, rich_help_panel=_panel(name))(_alone(ALONE.get(name)))
    return typer.main.get_command(app)


def _panel(group: str) -> str:
    return next(panel for name, panel in COMMANDS.items() if name.startswith(f"{group} "))


def _alone(command: str | None) -> Callable[[typer.Context], None]:
    """The function of a group called without one of its commands: runs ``command``, or prints the help."""

    def call(context: typer.Context) -> None:
        if command is None:
            print_help_if_alone(context)
        elif context.invoked_subcommand is None:
            chosen = context.command.get_command(context, command)  # type: ignore[attr-defined]
            with chosen.make_context(command, [], parent=context) as inner:
                chosen.invoke(inner)

    return call


def print_help_if_alone(context: typer.Context) -> None:
    """Print the help of a group that was called without a command."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def registered(full_name: str) -> typer.Typer:
    """A Typer application of one command, ``saliency`` or ``fast-style apply``."""
    group, _, name = full_name.rpartition(" ")
    app = _new_app()
    panel = "" if group else COMMANDS[full_name]
    add_command(app, name, command_function(full_name), panel=panel, group=group)
    return app


def _register_if_known(full_name: str) -> None:
    if full_name in COMMANDS:
        registered(full_name)


load_with(_register_if_known)
