"""The report as one HTML page that needs nothing else: no network, no other file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cnnviz import __version__
from cnnviz.errors import ImageError
from cnnviz.figures.captions import percent
from cnnviz.network.network import Network
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
    """The page's HTML, UTF-8. For many pictures see ``Page``, which holds one chapter at a time.

    Args:
        chapters: one for each picture, in their order.
        network: who is reported of.
        recipe: of the whole page.
        command_line: how a recipe is typed.
        title: of the page and its window.
    """
    page = Page(network, command_line)
    for chapter in chapters:
        page.add(chapter)
    return "".join(page.html(recipe, title)())


class Page:
    """A report's page as it grows: each chapter becomes HTML in a temporary file and is let go.

    So memory does not grow with the number of pictures. The file has no name and goes with the page (``TMPDIR`` says
    where).
    """

    def __init__(self, network: Network, command_line: CommandLine) -> None:
        self._network, self._command_line = network, command_line
        self._environment = _environment(command_line)
        self._chapters: list[_Kept] = []
        try:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the page)
        except OSError as error:
            raise ImageError(f"There is no folder for temporary files: {error.strerror}.") from error

    def add(self, chapter: Chapter) -> None:
        """Put a picture's chapter at the end. ImageError where the disk has no room for it."""
        number, (_, label, _) = len(self._chapters) + 1, chapter.predictions[0]
        template = self._environment.get_template("chapter.html")
        article = template.render(chapter=chapter, number=number, network=self._network)
        self._chapters.append(_Kept(chapter.name, label, self._keep(chapter.photo.uri), self._keep(article)))

    def html(self, recipe: Mapping[str, Any], title: str) -> Callable[[], Iterator[str]]:
        """What gives the page in pieces, from its start and the same each time; ``recipe`` is the whole page's."""
        template, line = self._environment.get_template("report.html"), self._command_line(dict(recipe))
        about = {"title": title, "line": line, "seed": recipe["seed"], "network": self._network}
        return lambda: template.generate(chapters=self._chapters, version=__version__, **about)

    def _keep(self, text: str) -> Callable[[], Markup]:
        """Put text in the file; gives what reads it from there."""
        content = text.encode("utf-8", "surrogatepass")  # names of files need be no text
        try:
            place = self._file.seek(0, 2)
            self._file.write(content)
            self._file.flush()
        except OSError as error:
            where = tempfile.gettempdir()
            raise ImageError(f"The page cannot be kept in '{where}': {error.strerror}.") from error
        return partial(_read, self._file, place, len(content))


@dataclass(frozen=True)
class _Kept:
    """What the page's beginning tells of a chapter, and where the rest is: ``photo`` reads the photo's address,
    ``article`` the chapter's HTML."""

    name: str
    label: str
    photo: Callable[[], Markup]
    article: Callable[[], Markup]


def _read(file: IO[bytes], place: int, length: int) -> Markup:
    file.seek(place)
    return Markup(file.read(length).decode("utf-8", "surrogatepass"))


def _environment(command_line: CommandLine) -> Environment:
    environment = Environment(
        loader=PackageLoader("cnnviz.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, command=lambda made: command_line(dict(made)))
    return environment
