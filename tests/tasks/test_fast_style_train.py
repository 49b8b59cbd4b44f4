"""Training a style network, without the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors import safe_open

from cnnviz.errors import UsageError
from cnnviz.pipeline.config import ImageConfig, MonitorConfig
from cnnviz.pipeline.reporter import SilentReporter
from cnnviz.style.settings import TrainingSettings
from cnnviz.tasks.fast_style_train import FastStyleTrain, PreviewMonitor, parse_widths, photo_files

SMALL = TrainingSettings(steps=2, batch=1, crop=32, style_size=64, blocks=1)


@pytest.fixture
def task(samples: Path) -> FastStyleTrain:
    return FastStyleTrain(SMALL, "4,4,4", styles=(samples / "ink.jpg",), photos=(samples / "coffee.png",), seed=3)


def test_the_model_records_how_it_was_made(task: FastStyleTrain, squeezenet, tmp_path: Path):
    result = task.run(squeezenet, task.monitor(MonitorConfig()))
    assert (result.metadata["styles"], result.metadata["steps"], result.metadata["skipped"]) == (["ink"], 2, [])
    assert list(result.sidecars) == task.sidecars == [".ink.jpg"]
    assert isinstance(result.image, bytes)
    (tmp_path / "m.safetensors").write_bytes(result.image)
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        record = json.loads(file.metadata()["cnnviz"])["training"]
    assert (record["seed"], record["photos"], record["settings"]["widths"]) == (3, 1, [4, 4, 4])
    assert "style_loss" not in record["settings"]


def test_previews_are_images_beside_the_model_and_those_of_a_resumed_run_are_overwritten(tmp_path: Path):
    (tmp_path / "m-0002.png").touch()
    for resume in (False, True):
        monitor = PreviewMonitor(MonitorConfig(save_every=2, resume=resume))
        watching = monitor.monitoring(tmp_path / "m.safetensors", {}, SilentReporter(), force=False)
        if resume:
            with watching:
                assert monitor.path == tmp_path / "m.png"
                assert monitor.partial_result() is None
        else:
            with pytest.raises(Exception, match="earlier run"), watching:
                pass


def test_the_last_step_has_a_preview_however_few_steps_there_are(task: FastStyleTrain, squeezenet, tmp_path: Path):
    monitor = task.monitor(MonitorConfig(save_every=500))
    with monitor.monitoring(tmp_path / "m.safetensors", {}, SilentReporter(), force=False):
        task.run(squeezenet, monitor)
    assert [path.name for path in tmp_path.glob("m*.png")] == ["m-0002.png"]


def test_mistakes_are_found_before_any_work(task: FastStyleTrain):
    task.validate()
    for wrong in (replace(task, widths="4,4"), replace(task, styles=2 * task.styles), replace(task, widths="0,1,1")):
        with pytest.raises(UsageError):
            wrong.validate()


def test_widths_are_three_whole_numbers():
    assert parse_widths("16,32, 64") == (16, 32, 64)
    for wrong in ("", "1,2", "1,2,3,4", "1,2,x", "1.5,2,3"):
        with pytest.raises(UsageError):
            parse_widths(wrong)


def test_photos_are_files(samples: Path):
    found = photo_files(ImageConfig(images=[str(samples / "coffee.png")]), SilentReporter())
    assert found == (samples / "coffee.png",)
    with pytest.raises(UsageError, match="not '-'"):
        photo_files(ImageConfig(images=["-"]), SilentReporter())
