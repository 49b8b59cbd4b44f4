"""The report as one HTML page that needs nothing else: no network, no other file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from cnnviz import __version__
from cnnviz.network import Network
from cnnviz.report.chapter import Chapter

CommandLine = Callable[[dict[str, Any]], str]
"""From a recipe to the command that makes the picture again."""


def report_page(
    chapters: Sequence[Chapter],
    network: Network,
    recipe: Mapping[str, Any],
    command_line: CommandLine,
    title: str,
) -> str:
    """The page's HTML, UTF-8.

    Args:
        chapters: one for each picture, in their order.
        network: who is reported of.
        recipe: of the whole page.
        command_line: how a recipe is typed.
        title: of the page and its window.
    """
    environment = Environment(
        loader=PackageLoader("cnnviz.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, command=lambda made: command_line(dict(made)))
    return environment.get_template("report.html").render(
        chapters=chapters, network=network, recipe=recipe, title=title, version=__version__
    )


def percent(probability: float) -> str:
    """A probability as people read it, never a rounded ``100 %``, and never a rounded ``0 %``."""
    if probability >= 0.9995:
        return "> 99.9 %"
    return f"{100 * probability:.1f} %" if probability >= 0.0005 else "< 0.1 %"
