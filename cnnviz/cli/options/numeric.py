"""Numbers on the command line are plain, finite and within the option's range; what stands for values in the help."""

from __future__ import annotations

import copy
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.models import OptionInfo, ParameterInfo

from cnnviz.errors import shortened
from cnnviz.pipeline.parsing import real, whole

_MOST = 1_000_000_000  # of anything that is counted
_FAR = 100_000  # ranges that end further away are not shown

Number = int | float


def checked(annotation: Any) -> Any:
    """An option's or argument's type; numbers are replaced by ones that are plain, finite and in range."""
    metadata = getattr(annotation, "__metadata__", ())
    if not metadata:
        return annotation
    plain = [kind for kind in get_args(annotation.__origin__) or (annotation.__origin__,) if kind is not type(None)]
    infos = [_checked(info, plain[0]) if isinstance(info, ParameterInfo) else info for info in metadata]
    spelled = (annotation.__origin__, *infos)
    return Annotated[spelled]  # type: ignore[valid-type]


def _checked(info: ParameterInfo, kind: type) -> ParameterInfo:
    found = copy.copy(info)
    if isinstance(info, OptionInfo) and info.metavar is None:
        found.metavar = _metavar(info, kind)
    if kind in (int, float):
        found.parser = _parser(kind, info.min, _MOST if info.max is None and kind is int else info.max)
        found.min = found.max = None  # the help would write them beside the metavar
    return found


def _metavar(info: ParameterInfo, kind: type) -> str:
    """What stands for a value in the help: nothing for a switch, ``0..1``, ``N``, ``X``, ``a|b`` or ``TEXT``."""
    if kind is bool:
        return ""
    if kind in (int, float):
        if info.min is not None and info.max is not None and info.max <= _FAR:
            return f"{info.min:g}..{info.max:g}"
        return "N" if kind is int else "X"
    if get_origin(kind) is None and issubclass(kind, Enum):
        return "|".join(str(member.value) for member in kind)
    return "TEXT"


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
