"""Jobs that make one thing of many images, or of the network alone.

Outputs, recipes and reports are ImageJob's own; here is only what differs: the result
is about a folder as a whole (``photos.embed.png``) or about the network (``squeezenet1_1.filters.png``).
"""

from __future__ import annotations

import glob
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnviz.errors import CnnvizError, ImageError, IncompleteError, Remark, UsageError
from cnnviz.pipeline import inputs
from cnnviz.pipeline.config import EngineConfig, ImageConfig
from cnnviz.pipeline.image_job import ImageJob
from cnnviz.pipeline.image_task import BatchItem
from cnnviz.pipeline.inputs import STDIN, ImageSource
from cnnviz.pipeline.recipe import AnyNetwork, Provenance, recipe_of
from cnnviz.pipeline.reporter import Reporter
from cnnviz.pipeline.result import Result, WrittenElsewhereError
from cnnviz.runtime.paths import as_file_name, is_folder, path_exists

if TYPE_CHECKING:
    from cnnviz.network.network import Network


@dataclass
class ImageCollection:
    """All images of a command at once: the files, and the exit codes of those that could not be read.

    ``job`` is the command's.
    """

    name: str
    sources: list[ImageSource]
    config: ImageConfig
    reporter: Reporter
    provenance: Provenance = field(default_factory=Provenance)
    failures: list[int] = field(default_factory=list)
    job: CollectionJob | None = None

    @staticmethod
    def of(config: ImageConfig, reporter: Reporter, provenance: Provenance) -> ImageCollection:
        """The images ``config`` means. UsageError if there is none, or standard input among them."""
        sources = list(inputs.shard(config).of(inputs.expand(config, reporter)))
        if any(source.path is None for source in sources):
            raise UsageError(f"'{provenance.command}' reads its images more than once: give files, not '-'.")
        return ImageCollection(collection_name(config), sources, config, reporter, provenance)

    @property
    def remote_job(self) -> CollectionJob | None:
        """The job, if the workers of a cluster are to help it."""
        run = self.job.run if self.job else None
        return self.job if isinstance(run, EngineConfig) and run.engine == "ray" else None

    def fail(self, source: ImageSource, error: CnnvizError) -> None:
        """Report an image that is left out."""
        self.reporter.failed(source.display, error)
        self.failures.append(error.exit_code)

    def nothing_read(self) -> ImageError:
        """The error where every image was left out."""
        count = len(self.sources)
        return ImageError(f"None of the {count} images could be read." if count > 1 else "No image could be read.")

    def recipe(self, network: AnyNetwork, seed: int) -> dict[str, Any]:
        """What the recipe of a result about all images tells."""
        recipe = recipe_of(self.provenance, network, self.config.images or [], seed)
        selection = {name: getattr(self.config, name) for name in ("recursive", "shard", "files_from")}
        recipe["parameters"] |= {name: value for name, value in selection.items() if value}
        return recipe

    def raise_if_failed(self) -> None:
        """IncompleteError if any image was left out."""
        if self.failures:
            raise IncompleteError(max(self.failures))


def collection_name(config: ImageConfig) -> str:
    """What outputs are named after: the first folder or file, or the list."""
    first = (config.images or [config.files_from or STDIN])[0]
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
    """A task about the network alone."""

    def of_network(self, make: Callable[[Network], Result], name: str = "") -> None:
        """Write what ``make`` makes of the network, named after it or after ``name``."""
        model, remark = self.network.choose(self.purpose)
        self._of_one(
            ImageSource(None, label=name or as_file_name(model)), model, remark, lambda net: _with_inputs(make(net), [])
        )

    def _of_one(
        self, subject: ImageSource, model: str, remark: Remark | None, make: Callable[[Network], Result]
    ) -> None:
        destination = self._plan_outputs([subject], model)[0]
        if self._is_done(destination):
            self.reporter.detail("Nothing to do: the output is there already.")
            return
        self.remark = remark
        if remark:
            self.reporter.warn(remark)
        network = self.load(model)
        from cnnviz.runtime.memory import translate_memory_errors

        started, item = time.perf_counter(), BatchItem(subject, destination)
        with translate_memory_errors(self.input.side or network.spec.size):
            try:
                result = self.run_monitored(lambda: make(network), item, network)
            except WrittenElsewhereError:
                return
        encoded = self.encode(result, item, network)
        encoded.written = self._write(encoded, item) if destination else []
        encoded.seconds = time.perf_counter() - started
        self._report(subject, encoded, network)


@dataclass
class CollectionJob(NetworkJob):
    """A task that makes one thing of many images."""

    def __call__(self, make: Callable[[Network, ImageCollection], Result]) -> None:  # type: ignore[override]
        """Write what ``make`` makes of the images; IncompleteError if it left any out."""
        collection = ImageCollection.of(self.input, self.reporter, self.provenance)
        collection.job = self
        if not collection.sources:
            self.reporter.detail(f"Nothing to do: shard {self.input.shard} of the images is empty.")
            return
        model, remark = self.network.choose(self.purpose)

        def of_collection(network: Network) -> Result:
            result = make(network, collection)
            result.recipe = {**collection.recipe(network, self.run.seed), **result.recipe}
            return result

        self._of_one(ImageSource(None, label=collection.name), model, remark, of_collection)
        collection.raise_if_failed()


def _with_inputs(result: Result, names: list[str]) -> Result:
    result.recipe = {"inputs": names, **result.recipe}
    return result
