"""Options from the library's dataclasses: each field made by ``cnnviz.settings.setting`` is one; nested ones spread."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import typer

from cnnviz.cli.options.declaring import ADVANCED
from cnnviz.cli.options.numeric import checked
from cnnviz.pipeline.config import numbers
from cnnviz.settings import is_option
from cnnviz.tasks.shared.layers import layer_names

Settings = TypeVar("Settings")


def parameters_of(kind: type, default: Any = None) -> Iterator[inspect.Parameter]:
    """The command's parameters for the fields of ``kind``, with the values of ``default``, an instance, as defaults.

    A field is an option if its type says so (``Annotated[..., typer.Option(...)]``) or if it is a ``setting`` that is
    an option by itself; a field that is a dataclass gives its own; any other field is no option. An option of
    ``tuple[str, ...] | None`` may be repeated; so may ``Sequence[str]``, whose values are lists separated by commas;
    ``Sequence[float]`` is one list of numbers.
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
        elif field.name in values and is_option(field):
            found[field.name] = _value(field, hints[field.name], values.pop(field.name))
        elif field.name in values and hasattr(hints[field.name], "__metadata__"):
            found[field.name] = values.pop(field.name)
    return kind(**found)


def _value(field: Field, hint: Any, value: Any) -> Any:
    """A setting's value, from what Typer makes of its option."""
    if isinstance(value, Enum):
        return value.value
    if _is_sequence(hint, str) and value is not None:
        return tuple(layer_names(value)) or None
    if _is_sequence(hint, float) and isinstance(value, str) and value not in (field.metadata["choices"] or ()):
        return tuple(numbers(value, _names(field, None)[0]) or ())
    return tuple(value) if isinstance(value, list) else value


def _is_sequence(hint: Any, kind: type) -> bool:
    return Sequence[kind] in (hint, *get_args(hint))  # type: ignore[valid-type]


def _names(field: Field, default: Any) -> Sequence[str]:
    """The names of a setting's option."""
    long = "--" + field.name.replace("_", "-")
    return field.metadata["names"] or (f"{long}/--no-{long[2:]}" if default is True else long,)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _declared(field: Field, hint: Any, default: Any) -> Any:
    """The type of a setting's parameter, with its option."""
    about = field.metadata
    info = typer.Option(
        *_names(field, default),
        help=about["help"],
        min=about["min"],
        max=about["max"],
        metavar=about["metavar"],
        show_default=about["show_default"] or True,
        rich_help_panel=ADVANCED if about["advanced"] else None,
    )
    if _is_sequence(hint, str):
        return Annotated[list[str] | None, info]
    if _is_sequence(hint, float):
        return Annotated[str | None, info]
    if about["choices"]:
        choices: Any = Enum(field.name, {choice: choice for choice in about["choices"]}, type=str)  # type: ignore[misc]
        return Annotated[choices, info]
    return checked(Annotated[list[str] | None if hint == tuple[str, ...] | None else hint, info])
