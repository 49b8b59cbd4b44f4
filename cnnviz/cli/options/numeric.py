"""Numbers as they are typed: plain digits only, finite, and within what an option allows.

Python's own ``int`` and ``float`` also take ``1_000``, ``nan``, ``inf``, and digits of every script.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable
from typing import Annotated, Any, get_args

import typer
from typer.models import ParameterInfo

from cnnviz.errors import shortened

_WHOLE = re.compile(r"[+-]?[0-9]+")
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DIGITS = 19  # more than any size, count or seed has
_MOST = 1_000_000_000  # of anything that is counted
LARGEST_SIDE = 1_000_000
"""Pixels of any side that may be asked for; long before, memory is short."""

Number = int | float


def whole(text: str) -> int | None:
    """The whole number that ``text`` spells in plain digits; None for anything else, and from 10^19 on."""
    text = text.strip(" ")
    return int(text) if _WHOLE.fullmatch(text) and len(text.lstrip("+-0")) <= _DIGITS else None


def real(text: str) -> float | None:
    """The finite number that ``text`` spells, as 0.5 or 1e-3; None for anything else."""
    text = text.strip(" ")
    value = float(text) if _REAL.fullmatch(text) else math.nan
    return value if math.isfinite(value) else None


def index(text: str) -> int | None:
    """The number from 0 on that ``text`` spells in plain digits; None for anything else."""
    value = whole(text)
    return value if value is not None and value >= 0 else None


def position(text: str) -> tuple[int, int] | None:
    """A row and a column, as ``6,9``; None for anything else."""
    parts = [index(part) for part in text.split(",")]
    return (parts[0], parts[1]) if len(parts) == 2 and None not in parts else None  # type: ignore[return-value]


def checked(annotation: Any) -> Any:
    """An option's or argument's type, where it is a number replaced by one that takes only plain, finite numbers."""
    metadata = getattr(annotation, "__metadata__", ())
    if not metadata:
        return annotation
    plain = [kind for kind in get_args(annotation.__origin__) or (annotation.__origin__,) if kind is not type(None)]
    if plain not in ([int], [float]):
        return annotation
    told = [_checked(info, plain[0]) if isinstance(info, ParameterInfo) else info for info in metadata]
    spelled = (annotation.__origin__, *told)
    return Annotated[spelled]  # type: ignore[valid-type]


def _checked(info: ParameterInfo, kind: type) -> ParameterInfo:
    found = copy.copy(info)
    found.parser = _parser(kind, info.min, _MOST if info.max is None and kind is int else info.max)
    found.metavar = info.metavar or ("N" if kind is int else "X")
    return found


def _parser(kind: type, least: float | None, most: float | None) -> Callable[[Any], Number]:
    def number(typed: Any) -> Number:
        if not isinstance(typed, str):  # an option's default
            return typed
        value: Number | None = whole(typed) if kind is int else real(typed)
        if value is None:
            what = "a whole number, in digits" if kind is int else "a number, as 2, 0.5 or 1e-3"
            raise typer.BadParameter(f"'{shortened(typed)}' is not {what}.")
        if (least is not None and value < least) or (most is not None and value > most):
            raise typer.BadParameter(f"{shortened(typed)} is not {_range(least, most)}.")
        return value

    return number


def _range(least: float | None, most: float | None) -> str:
    if most is None:
        return f"at least {least}"
    if least is None:
        return f"at most {most}"
    return f"between {least} and {most}"
