"""Features computed by the workers of a cluster, without a cluster."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from cnnviz.features.feature_index import FeatureBatch
from cnnviz.features.store import Entry
from cnnviz.pipeline import ray_workers
from cnnviz.pipeline.config import StoreConfig
from cnnviz.pipeline.feature_spec import FeatureSpec
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.runtime.executors.ray import WorkerLostError
from cnnviz.runtime.executors.task_result import TaskResult


def test_images_that_kill_every_worker_have_failed_and_the_others_are_stored(monkeypatch):
    """Of two batches of one image, one is lost with its workers."""
    sources = {key: ImageSource(Path(f"{key}.png")) for key in "ab"}
    lost = WorkerLostError("3 workers were lost over it.")
    found = FeatureBatch([[Entry("b", np.zeros(2), b"")]], {})

    class Executor:
        def run(self, tasks, *, ordered):
            yield TaskResult(tasks[0], error=lost)
            yield TaskResult(tasks[1], [found])

    monkeypatch.setattr(ray_workers, "ray_workers", lambda *_: nullcontext((Executor(), None)))
    network = SimpleNamespace(name="net", device=torch.device("cpu"))
    compute = ray_workers.feature_executor(None, network, [FeatureSpec("thumbnails")], StoreConfig(batch=1))
    first, second = compute(sources, [{"a", "b"}])
    assert dict(first.failed) == {"a": lost}
    assert second is found
