"""Options that are numbers take plain, finite numbers within the option's range only."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Annotated, Any, get_args

import typer
from typer.models import ParameterInfo

from cnnviz.cli.options.metavar import range_metavar
from cnnviz.errors import shortened
from cnnviz.pipeline.parsing import real, whole

_MOST = 1_000_000_000  # of anything that is counted

Number = int | float


def checked(annotation: Any) -> Any:
    """An option's or argument's type, where it is a number replaced by one that takes only plain, finite numbers."""
    metadata = getattr(annotation, "__metadata__", ())
    if not metadata:
        return annotation
    plain = [kind for kind in get_args(annotation.__origin__) or (annotation.__origin__,) if kind is not type(None)]
    if plain not in ([int], [float]):
        return annotation
    infos = [_checked(info, plain[0]) if isinstance(info, ParameterInfo) else info for info in metadata]
    spelled = (annotation.__origin__, *infos)
    return Annotated[spelled]  # type: ignore[valid-type]


def _checked(info: ParameterInfo, kind: type) -> ParameterInfo:
    found = copy.copy(info)
    found.parser = _parser(kind, info.min, _MOST if info.max is None and kind is int else info.max)
    found.metavar = info.metavar or range_metavar(kind, info.min, info.max)
    found.min = found.max = None  # which Typer would show beside the metavar
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
