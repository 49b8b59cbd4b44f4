"""Runs a task that compares each image with a collection of others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cnnviz.pipeline.collection_job import ImageCollection
from cnnviz.pipeline.execution import Execution
from cnnviz.pipeline.image_job import ImageJob
from cnnviz.pipeline.image_task import BatchItem, ImageWorker


@dataclass
class QueryJob(ImageJob):
    """A task over images whose ``task.prepare(network, collection)`` gives what is then called with each of them."""

    collection: ImageCollection | None = None

    def __call__(self, task: Any) -> None:
        """Run ``task`` over all images; IncompleteError at the end if any failed, or any of the collection."""
        super().__call__(task)
        if self.collection is not None:
            self.collection.raise_if_failed()

    @contextmanager
    def _execution(self, model: str, task: Any, items: Sequence[BatchItem]) -> Iterator[Execution]:
        network = self.load(model)
        worker = ImageWorker(self, network, task.prepare(network, self.collection))
        with worker.threads() as compute_threads:
            yield self._local_execution(worker, compute_threads, len(items))
