"""``build(width=2, name="x")``: a function with arguments that are plain values, nothing else."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

from cnnviz.errors import UsageError


@dataclass(frozen=True)
class Call:
    """The name of a function or class, and what it is called with."""

    name: str
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_arguments(self) -> bool:
        """Whether any are given."""
        return bool(self.arguments or self.keywords)

    def require_fitting(self, function: Callable[..., Any], model: str) -> None:
        """Raise UsageError where ``function`` does not take these arguments."""
        try:
            known = signature(function)
        except (TypeError, ValueError):  # of functions in C, nothing is known
            return
        try:
            known.bind(*self.arguments, **self.keywords)
        except TypeError as error:
            raise UsageError(f"'{model}' does not fit {self.name}{known}: {error}.") from error


def parse_call(text: str, model: str) -> Call:
    """The call that ``text`` writes, its arguments read by ``ast.literal_eval``; UsageError for any other expression.

    ``model`` is what messages name.
    """
    try:
        tree = ast.parse(text, mode="eval").body
        if isinstance(tree, ast.Name):
            return Call(tree.id)
        if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
            raise ValueError
        keywords = {str(each.arg): ast.literal_eval(each.value) for each in tree.keywords if each.arg is not None}
        if len(keywords) != len(tree.keywords):
            raise ValueError
        return Call(tree.func.id, tuple(map(ast.literal_eval, tree.args)), keywords)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        raise UsageError(
            f"'{model}' ends in no function with plain values; write it as build, or build(width=2, name=\"x\")."
        ) from None
