"""What is sent to a Ray worker: plain values, which need neither Typer nor rich there."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from cnnviz.pipeline import ray_workers
from cnnviz.pipeline.image_task import BatchItem
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.reporter import RecordingReporter

WORKER = """
import pickle, sys
from dataclasses import replace
from functools import partial
from pathlib import Path
spec, items = pickle.loads(Path("sent").read_bytes())
info, work = spec()
(value,) = work(items)
print(info.name, type(value).__name__, *{"typer", "click", "rich", "cnnviz.cli"} & set(sys.modules))
"""


@pytest.mark.ray
@pytest.mark.parametrize("typed", [("classify",), ("saliency", "--check"), ("guided",), ("gradcam", "--grabcut")])
def test_a_worker_imports_nothing_of_the_command_line(run_cnnviz, samples: Path, monkeypatch, typed):
    cloudpickle = pytest.importorskip("ray.cloudpickle")

    def captured(job, task, model, count):
        travelling = replace(job, reporter=RecordingReporter())
        spec = ray_workers.WorkerSpec(travelling, partial(ray_workers.image_work, task), model, 1)
        items = [BatchItem(ray_workers.InlineSource.of(ImageSource(samples / "coffee.png")), None)]
        Path("sent").write_bytes(cloudpickle.dumps((spec, items)))
        raise KeyboardInterrupt

    monkeypatch.setattr(ray_workers, "ray_execution", captured)
    options = ("-s", "64", "-m", "squeezenet1_1", "--engine", "ray")
    assert run_cnnviz(*typed, samples / "coffee.png", *options).exit_code == 130
    run = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["squeezenet1_1", "EncodedResult"]
