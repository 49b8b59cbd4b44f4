"""The report as one HTML page that needs nothing else: no internet, no other file."""

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
from cnnviz.figures.captions import score_text
from cnnviz.network.network import Network
from cnnviz.report.image_report import ImageReport

CommandLine = Callable[[dict[str, Any]], str]
"""From a recipe to the command that makes the image again."""


def report_page(
    reports: Sequence[ImageReport],
    network: Network,
    recipe: Mapping[str, Any],
    command_line: CommandLine,
    title: str,
) -> str:
    """The page's HTML. For many images see ``Page``, which holds one report at a time.

    Args:
        reports: one for each image, in their order.
        network: the network under study.
        recipe: of the whole page.
        command_line: writes a recipe as a command.
        title: of the page and its window.
    """
    page = Page(network, command_line)
    for report in reports:
        page.add(report)
    return "".join(page.html(recipe, title)())


class Page:
    """A page that is added to: each image's report is written as HTML to a temporary file and then freed.

    Memory therefore does not grow with the number of images. The file has no name and is deleted with the page;
    ``TMPDIR`` says where it lies.
    """

    def __init__(self, network: Network, command_line: CommandLine | None = None) -> None:
        self._network, self._command_line = network, command_line
        self._environment = _environment(command_line, network.has_probabilities)
        self._reports: list[_StoredReport] = []
        try:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the page)
        except OSError as error:
            raise ImageError(f"There is no folder for temporary files: {error.strerror}.") from error

    def add(self, report: ImageReport) -> None:
        """Append an image's report. ImageError if the disk is full."""
        number, label = len(self._reports) + 1, report.predictions[0][1]
        if report.is_mistake and report.true is not None:
            label = f"{label}, not {report.true[1]}"
        template = self._environment.get_template("image_report.html")
        article = template.render(report=report, number=number, network=self._network)
        self._reports.append(_StoredReport(report.name, label, self._store(report.photo.uri), self._store(article)))

    def html(
        self, recipe: Mapping[str, Any], title: str, facts: Mapping[str, str] | None = None
    ) -> Callable[[], Iterator[str]]:
        """A function that yields the page in pieces, the same each time; ``recipe`` is the whole page's.

        ``facts`` are what else its head says: values, by what they are of.
        """
        template = self._environment.get_template("report.html")
        line = self._command_line(dict(recipe)) if self._command_line else None
        about = {"title": title, "line": line, "seed": recipe["seed"], "network": self._network}
        about["facts"] = dict(facts or {})
        return lambda: template.generate(reports=self._reports, version=__version__, **about)

    def _store(self, text: str) -> Callable[[], Markup]:
        """Write text to the file; returns a function that reads it back."""
        content = text.encode("utf-8", "surrogatepass")  # file names need not be text
        try:
            place = self._file.seek(0, 2)
            self._file.write(content)
            self._file.flush()
        except OSError as error:
            where = tempfile.gettempdir()
            raise ImageError(f"The page cannot be kept in '{where}': {error.strerror}.") from error
        return partial(_read, self._file, place, len(content))


@dataclass(frozen=True)
class _StoredReport:
    """A report in the temporary file: ``photo`` reads its photo's URI, ``article`` its HTML."""

    name: str
    label: str
    photo: Callable[[], Markup]
    article: Callable[[], Markup]


def _read(file: IO[bytes], place: int, length: int) -> Markup:
    file.seek(place)
    return Markup(file.read(length).decode("utf-8", "surrogatepass"))


def _environment(command_line: CommandLine | None, has_probabilities: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("cnnviz.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    score = partial(score_text, is_probability=has_probabilities)
    environment.filters.update(score=score, value=partial(score_text, is_probability=False))
    environment.filters.update(command=lambda made: command_line(dict(made)) if command_line else "")
    environment.globals["has_probabilities"] = has_probabilities
    return environment
