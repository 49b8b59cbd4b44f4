"""Commands that make one thing of many pictures, or of the network alone: ImageJob's path with another subject.

Outputs, recipes, ``--json``, ``--force`` and exit codes are ImageJob's own; here is only what differs: the result
is about a folder as a whole (``photos.embed.png``) or about the network (``squeezenet1_1.filters.png``).
"""

from __future__ import annotations

import glob
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cnnviz.cli import console, inputs
from cnnviz.cli.command import current
from cnnviz.cli.inputs import STDIN, Source
from cnnviz.cli.job import ImageJob, Result, about
from cnnviz.cli.options import InputOptions, NetworkOptions, OutputOptions, RunOptions
from cnnviz.cli.work import Item
from cnnviz.errors import CnnvizError, UsageError
from cnnviz.runtime.paths import is_folder, path_exists

if TYPE_CHECKING:
    from cnnviz.cli.longjob import Watch
    from cnnviz.network.network import Network


@dataclass
class Album:
    """All pictures of a command at once: the files, and the exit codes of those that could not be read.

    ``job`` is the command's, where workers may help it.
    """

    name: str
    sources: list[Source]
    options: InputOptions
    failures: list[int] = field(default_factory=list)
    job: FolderJob | None = None

    @staticmethod
    def of(options: InputOptions) -> Album:
        """The pictures ``options`` mean. UsageError if there is none, or standard input among them."""
        sources = list(inputs.shard(options).of(inputs.expand(options)))
        if any(source.path is None for source in sources):
            raise UsageError(f"'{current.command}' reads its pictures more than once: give files, not '-'.")
        return Album(_album_name(options), sources, options)

    def fail(self, source: Source, error: CnnvizError) -> None:
        """Tell of a picture that is left out."""
        console.error(about(source, error))
        self.failures.append(error.exit_code)

    def exit_if_failed(self) -> None:
        if self.failures:
            raise typer.Exit(max(self.failures))


def _album_name(options: InputOptions) -> str:
    """What outputs are named after: the first folder or file, or the list."""
    first = (options.images or [options.files_from or STDIN])[0]
    path = Path(first)
    if first == STDIN:
        return "pictures"
    if is_folder(path):
        return path.resolve().name or "pictures"
    if glob.has_magic(first) and not path_exists(path):
        return path.parent.name if path.parent.name and not glob.has_magic(path.parent.name) else "pictures"
    return path.stem


@dataclass
class NetworkJob(ImageJob):
    """A command about the network alone: ``NetworkJob.without_pictures("features", network, run, output)``."""

    input: InputOptions

    @classmethod
    def without_pictures(
        cls,
        technique: str,
        network: NetworkOptions,
        run: RunOptions,
        output: OutputOptions | None,
        watch: Watch | None = None,
    ) -> NetworkJob:
        return cls(technique, network, InputOptions(), run, output, watch=watch)

    def of_network(self, make: Callable[[Network], Result], name: str = "") -> None:
        """Write what ``make`` makes of the network, named after it or after ``name``."""
        console.configure(quiet=self.run.quiet, verbose=self.run.verbose)
        model, remark = self.network.choose(self.technique)
        self._of_one(Source(None, label=name or model), model, remark, lambda net: _with_inputs(make(net), []))

    def _of_one(self, subject: Source, model: str, remark: str | None, make: Callable[[Network], Result]) -> None:
        destination = self._plan([subject], model)[0]
        if self._is_done(destination):
            console.detail("Nothing to do: the output is there already.")
            return
        self.remark = remark
        if remark:
            console.warn(remark)
        network = self.load(model)
        from cnnviz.runtime.memory import translate_memory_errors

        started, item = time.perf_counter(), Item(subject, destination)
        with translate_memory_errors(self.input.side or network.spec.size):
            result = self.watched(lambda: make(network), item, network)
        made = self.encoded(result, item, network)
        made.written = self._write(made, item) if destination else []
        made.seconds = time.perf_counter() - started
        self._report(subject, made, network)


@dataclass
class FolderJob(NetworkJob):
    """A command over many pictures that makes one thing of them all."""

    def told(self) -> dict[str, Any]:
        """The options that say which pictures are meant, for recipes."""
        said = {name: getattr(self.input, name) for name in ("recursive", "shard", "files_from")}
        return {name: value for name, value in said.items() if value}

    def __call__(self, make: Callable[[Network, Album], Result]) -> None:  # type: ignore[override]
        """Write what ``make`` makes of the pictures; exits with 1 if it left any out."""
        console.configure(quiet=self.run.quiet, verbose=self.run.verbose)
        album = Album.of(self.input)
        album.job = self
        if not album.sources:
            console.detail(f"Nothing to do: shard {self.input.shard} of the pictures is empty.")
            return
        model, remark = self.network.choose(self.technique)

        def of_album(network: Network) -> Result:
            result = make(network, album)
            told = {"inputs": self.input.images or [], "parameters": {**current.parameters(), **self.told()}}
            result.recipe = {**told, **result.recipe}
            return result

        self._of_one(Source(None, label=album.name), model, remark, of_album)
        album.exit_if_failed()


def _with_inputs(result: Result, names: list[str]) -> Result:
    result.recipe = {"inputs": names, **result.recipe}
    return result
