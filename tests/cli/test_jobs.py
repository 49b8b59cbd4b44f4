"""A command's options reach its task: the seed of the run, whatever kind of task it is."""

from __future__ import annotations

import shlex

import pytest
from typer.testing import CliRunner

from cnnviz.cli import jobs
from cnnviz.cli.app import app
from cnnviz.style.fast import FastStyleNetwork
from cnnviz.style.model_file import to_bytes
from cnnviz.style.settings import FastStyleConfig


class StopError(Exception):
    """Raised where the job would be made."""


@pytest.fixture
def style_model(tmp_path):
    """The file of a small style network."""
    path = tmp_path / "small.safetensors"
    path.write_bytes(to_bytes(FastStyleNetwork(["plain"], FastStyleConfig((4, 4, 4), blocks=1))))
    return path


@pytest.mark.parametrize(
    "line",
    [
        "saliency {cat}",
        "visualize --target flamingo",
        "compare {cat}",
        "patches {folder} --layer fire5",
        "neighbors {cat} {folder}",
        "fast-style apply {cat} --style-model {model}",
    ],
)
def test_the_task_gets_the_seed_of_the_run(line, samples, style_model, monkeypatch):
    tasks = []

    def stop(context, kind, task, *others, **more):
        tasks.append(task)
        raise StopError

    monkeypatch.setattr(jobs, "job_of", stop)
    files = {"cat": samples / "chelsea.png", "folder": samples, "model": style_model}
    CliRunner().invoke(app, [*shlex.split(line.format(**files)), "--seed", "7"])
    assert [task.seed for task in tasks] == [7]
