"""Fields of settings: a default with its help and range, written once, for the library and the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import Field, field
from typing import Any


def setting(
    default: Any,
    help: str,
    *,
    min: float | None = None,
    max: float | None = None,
    choices: Sequence[str] | None = None,
    advanced: bool = False,
    names: Sequence[str] = (),
    metavar: str | None = None,
    show_default: str | None = None,
    is_option: bool = True,
) -> Any:
    """A dataclass field that is an option of commands.

    Args:
        default: its default.
        help: what it is, in a sentence.
        min: the least value.
        max: the largest value.
        choices: the values there are, of a text; of numbers, the words that stand for some.
        advanced: whether it is rarely wanted.
        names: what it is called on the command line: ``("--top", "-k")``; the field's own name if empty.
        metavar: what stands for the value in help.
        show_default: words for a default that is None.
        is_option: False for a setting that commands have another option for.
    """
    known = {"help": help, "min": min, "max": max, "choices": choices, "advanced": advanced, "is_option": is_option}
    return field(default=default, metadata={**known, "names": names, "metavar": metavar, "show_default": show_default})


def is_option(field: Field[Any]) -> bool:
    """Whether a dataclass's field is a setting that is an option of commands."""
    return bool(field.metadata.get("is_option"))
