"""Options from the library's dataclasses: each field made by ``cnnviz.settings.setting`` is one; nested ones spread."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from cnnviz.cli.options.declaring import ADVANCED
from cnnviz.cli.options.numeric import checked
from cnnviz.settings import is_option

Settings = TypeVar("Settings")


def parameters_of(kind: type, default: Any = None) -> Iterator[inspect.Parameter]:
    """The command's parameters for the fields of ``kind``, with the values of ``default``, an instance, as defaults.

    A field is an option if its type says so (``Annotated[..., typer.Option(...)]``) or if it is a ``setting``; a field
    that is a dataclass gives its own; any other field is no option. An option of ``tuple[str, ...] | None`` may be
    repeated.
    """
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        value = field.default if default is None else getattr(default, field.name)
        hint = hints[field.name]
        if is_dataclass(hint):
            yield from parameters_of(hint, None if value is MISSING else value)  # type: ignore[arg-type]
        elif is_option(field):
            yield _parameter(field.name, _declared(field, hint, value), value)
        elif hasattr(hint, "__metadata__"):
            yield _parameter(field.name, checked(hint), value)


def build(kind: Callable[..., Settings], values: dict[str, Any]) -> Settings:
    """An instance of ``kind`` from the values of its parameters, which are taken out of ``values``."""
    hints = get_type_hints(kind, include_extras=True)
    found: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]
        if is_dataclass(hints[field.name]):
            found[field.name] = build(hints[field.name], values)  # type: ignore[arg-type]
        elif field.name in values and (is_option(field) or hasattr(hints[field.name], "__metadata__")):
            value = values.pop(field.name)
            found[field.name] = _plain(value) if is_option(field) else value
    return kind(**found)


def _plain(value: Any) -> Any:
    """A setting's value as its dataclass has it."""
    if isinstance(value, list):
        return tuple(value)
    return value.value if isinstance(value, Enum) else value


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _declared(field: Field, hint: Any, default: Any) -> Any:
    """The type of a setting's parameter, with its option."""
    about = field.metadata
    long = "--" + field.name.replace("_", "-")
    names = about["names"] or (f"{long}/--no-{long[2:]}" if default is True else long,)
    info = typer.Option(
        *names,
        help=about["help"],
        min=about["min"],
        max=about["max"],
        metavar=about["metavar"],
        show_default=about["show_default"] or True,
        rich_help_panel=ADVANCED if about["advanced"] else None,
    )
    if about["choices"]:
        choices: Any = Enum(field.name, {choice: choice for choice in about["choices"]}, type=str)  # type: ignore[misc]
        return Annotated[choices, info]
    return checked(Annotated[list[str] | None if hint == tuple[str, ...] | None else hint, info])
