"""Runs a task over images whose classes are known, and sums up what it says of all of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cnnviz.errors import IncompleteError
from cnnviz.pipeline import inputs, outputs
from cnnviz.pipeline.collection_job import ImageCollection, collection_name
from cnnviz.pipeline.config import OutputConfig
from cnnviz.pipeline.execution import Execution
from cnnviz.pipeline.image_job import ImageJob
from cnnviz.pipeline.image_task import BatchItem, EncodedResult
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.recipe import AnyNetwork


@dataclass
class EvaluationJob(ImageJob):
    """A task over images whose ``summarize(name, classes, records)`` gives one result about all of them.

    ``summary`` says where that result is written; without a place it is printed only.
    """

    summary: OutputConfig = field(default_factory=OutputConfig)
    _network: AnyNetwork | None = field(default=None, init=False)
    _records: list[tuple[str, dict[str, Any]]] = field(default_factory=list, init=False)

    def __call__(self, task: Any) -> None:
        """Run ``task`` over all images, then report what it makes of all results, even if some images failed."""
        name, started = collection_name(self.input), time.perf_counter()
        place = self._plan_summary(ImageSource(None, label=name))
        try:
            super().__call__(task)
        except IncompleteError:
            self._summarize(task, name, place, started)
            raise
        self._summarize(task, name, place, started)

    def _plan_summary(self, subject: ImageSource) -> outputs.OutputPath | None:
        if self.summary.output is None:
            return None
        model, _ = self.network.choose(self.purpose)
        return outputs.plan([subject], self.summary, self.provenance.command, model, self.sidecars)[0]

    @contextmanager
    def _execution(self, model: str, task: Any, items: Sequence[BatchItem]) -> Iterator[Execution]:
        with super()._execution(model, task, items) as execution:
            self._network = execution.network
            yield execution

    def _report(self, source: ImageSource, encoded: EncodedResult, network: AnyNetwork) -> None:
        super()._report(source, encoded, network)
        self._records.append((source.display, encoded.metadata))

    def _summarize(self, task: Any, name: str, place: outputs.OutputPath | None, started: float) -> None:
        network = self._network
        result = task.summarize(network.name, network.classes, self._records) if network else None
        if network is None or result is None:
            return
        sources = inputs.expand(self.input)
        images = ImageCollection(name, sources, self.input, self.reporter, self.provenance)
        result.recipe = {**images.recipe(network, self.run.seed), **result.recipe}
        subject = ImageSource(None, label=name)
        item = BatchItem(subject, place)
        encoded = self.encode(result, item, network)
        if place is not None:
            self.output = self.summary
            encoded.written = self._write(encoded, item)
        encoded.seconds = time.perf_counter() - started
        super()._report(subject, encoded, network)
