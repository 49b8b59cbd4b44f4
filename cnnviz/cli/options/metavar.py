"""What stands for an option's value in help: ``FILE``, ``N``, ``0..1``, ``gray|white``; nothing for switches.

Typer's own names for types (``<list[str]>``, ``N [1<=x<=64]``) differ between its versions.
"""

from __future__ import annotations

import copy
import inspect
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from typer.core import TyperCommand, TyperGroup
from typer.models import ArgumentInfo, ParameterInfo

_FAR = 100_000  # ranges that end further away are not shown
_LONGEST = 28  # characters of a list of choices that stands for a value; longer ones stand in the help


def with_metavar(parameter: inspect.Parameter) -> inspect.Parameter:
    """A command's parameter with a metavar for its value, if it has none; switches get none."""
    kind = _plain(parameter.annotation)
    infos = getattr(parameter.annotation, "__metadata__", ())
    info = next((info for info in infos if isinstance(info, ParameterInfo)), None)
    if info is None or info.metavar is not None or kind is bool:
        return parameter
    info = copy.copy(info)
    if isinstance(info, ArgumentInfo):
        info.metavar = parameter.name.upper()
    elif choices := choices_of(parameter.annotation):
        info.metavar = "|".join(choices)
        if len(info.metavar) > _LONGEST:  # a word of such a length is broken anywhere
            info.metavar = "NAME"
            info.help = f"{(info.help or '').rstrip('.')}: {', '.join(choices)}."
    else:
        info.metavar = "FILE" if kind is Path else "TEXT"
    return parameter.replace(annotation=Annotated[parameter.annotation.__origin__, info])


def choices_of(annotation: Any) -> tuple[str, ...]:
    """The values of which a parameter with this annotation takes one; none where it takes others."""
    kind = _plain(annotation)
    is_choice = isinstance(kind, type) and issubclass(kind, Enum)
    return tuple(str(member.value) for member in kind) if is_choice else ()


def range_metavar(kind: type, least: float | None, most: float | None) -> str:
    """``0..1``, ``..64``, ``16..``; ``N`` (whole) or ``X`` for numbers that are only positive, or not bounded."""
    if most is None or most > _FAR:
        if least is None or least in (0, 1):
            return "N" if kind is int else "X"
        return f"{least:g}.."
    return f"{'' if least is None else _digits(least)}..{_digits(most)}"


def usage_of(metavar: str, *, required: bool) -> str:
    """An argument in a usage line: ``IMG``, ``[IMG]``, ``IMG...``."""
    return metavar if required or metavar.endswith("...") else f"[{metavar}]"


def _digits(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _plain(kind: Any) -> Any:
    """The type itself of ``Annotated[X, ...]``, ``X | None`` or ``list[X]``."""
    while get_origin(kind) is not None:
        kind = next(argument for argument in get_args(kind) if argument is not type(None))
    return kind


def _without_types(parameters: list[Any]) -> list[Any]:
    """Click's parameters, made to show their metavars and no type."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
        elif parameter.param_type_name == "argument":
            parameter.display_type_rich = lambda ctx: ""  # of Typer 0.17 and later
    return parameters


class PlainCommand(TyperCommand):
    """A command whose help shows metavars only."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        arguments = [p for p in self.params if p.param_type_name == "argument"]
        return ["[OPTIONS]", *(usage_of(p.metavar or "", required=p.required) for p in arguments)]


class PlainGroup(TyperGroup):
    """A group of commands whose help shows metavars only."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))
