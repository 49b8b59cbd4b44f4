"""Values that are empty, as those of a shell's variables that are not set: an error, whatever the option."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import typer

_MAY_BE_EMPTY = ("--title",)


class EmptyValueError(typer.BadParameter):
    """A usage error of Typer's, shown as its message alone."""

    def format_message(self) -> str:
        return self.message


def require_values(parameters: Iterable[Any], words: Sequence[str]) -> None:
    """Raise EmptyValueError where a word of a command, or an option's value in it, is empty."""
    valued = {name for each in parameters if not getattr(each, "is_flag", False) for name in each.opts}
    before, is_option = "", True
    for word in words:
        if word == "--" and is_option:
            before, is_option = "", False
            continue
        name, equals, value = word.partition("=")
        if is_option and name.startswith("--") and equals and not value.strip():
            _require(name)
        elif not word.strip():
            _require(before if before in valued and is_option else "")
        before = word


def _require(option: str) -> None:
    if option not in _MAY_BE_EMPTY:
        what = f"{option} has an empty value: give it one, or leave it out."
        raise EmptyValueError(what if option else "An empty text names no file.")
