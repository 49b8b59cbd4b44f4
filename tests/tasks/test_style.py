"""The style task without a command line: what it paints, says, and takes along."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cnnviz.errors import UsageError
from cnnviz.pipeline.config import InputConfig, MonitorConfig
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.reporter import RecordingReporter
from cnnviz.pipeline.step_monitor import StepMonitor
from cnnviz.style.settings import StyleSettings
from cnnviz.tasks.shared.style_files import StyleFile
from cnnviz.tasks.style import DEFAULT_SIDES, Style, Sweep, default_side, time_at_larger_side


@pytest.fixture
def task(samples) -> Style:
    return Style(styles=(f"{samples / 'ink.jpg'}:2",), settings=StyleSettings(steps=2, scales=1))


@pytest.fixture
def monitor() -> StepMonitor:
    found = StepMonitor(MonitorConfig())
    found.reporter = RecordingReporter()
    return found


def photo(samples, network, **options):
    return read_image(ImageSource(samples / "chelsea.png"), network, InputConfig(size=48, **options))


def test_a_painting_has_its_losses_and_styles(task, monitor, squeezenet, samples):
    result = task.run(squeezenet, photo(samples, squeezenet), monitor)
    assert result.image.size == (72, 48)
    assert result.metadata["styles"] == ["ink.jpg:2"]
    assert {"content", "style"} <= set(result.metadata["losses"])
    assert result.metadata["precision"] == squeezenet.precision


def test_the_task_travels_with_its_images(task, monitor, squeezenet, samples, tmp_path):
    mask = saved(Image.new("L", (9, 6), 255), tmp_path / "mask.png")
    whole = replace(task, masks=(mask,)).with_files()
    copy = pickle.loads(pickle.dumps(whole))
    (tmp_path / "mask.png").unlink()
    image = photo(samples, squeezenet)
    first, second = whole.run(squeezenet, image, monitor), copy.run(squeezenet, image, monitor)
    assert copy == whole and first.image.tobytes() == second.image.tobytes()


def saved(image, path) -> str:
    image.save(path)
    return str(path)


def test_a_mask_is_cropped_like_the_photo(task, monitor, squeezenet, samples, tmp_path):
    """The left half of the photo is painted, also where only its central square is looked at."""
    mask = Image.new("L", Image.open(samples / "chelsea.png").size)
    mask.paste(255, (0, 0, mask.width // 2, mask.height))
    image = photo(samples, squeezenet, crop=True)
    masks, settings = (saved(mask, tmp_path / "mask.png"),), replace(task.settings, steps=6)
    painted = replace(task, masks=masks, settings=settings).run(squeezenet, image, monitor)
    before = image.pixels[0].permute(1, 2, 0).numpy() * 255
    changed = np.abs(np.asarray(painted.image, dtype=float) - before).max(2)
    assert changed.shape == (48, 48)
    assert changed[:, :23].max() > 20 and changed[:, 26:].max() <= 1


def test_a_painting_needs_a_style():
    with pytest.raises(UsageError, match="at least one style"):
        Style().with_files()


def test_a_black_mask_is_refused(task, tmp_path):
    with pytest.raises(UsageError, match=r"mask\.png' is black all over"):
        replace(task, style_masks=(saved(Image.new("L", (9, 6)), tmp_path / "mask.png"),)).with_files()


def test_a_painting_begins_from_what_it_is_told(task, monitor, squeezenet, samples, tmp_path):
    image, gray = photo(samples, squeezenet), saved(Image.new("RGB", (72, 48), "gray"), tmp_path / "gray.png")
    by_settings = replace(task, settings=replace(task.settings, init="noise"))
    tasks = (task, replace(task, init=gray), replace(task, init="noise"), by_settings)
    content, from_gray, noise, same = (np.asarray(t.run(squeezenet, image, monitor).image, dtype=int) for t in tasks)
    assert np.abs(content - from_gray).mean() > 3 and np.abs(content - noise).mean() > 3
    assert np.array_equal(noise, same)


def test_a_style_file_is_read_from_text(tmp_path):
    assert StyleFile.parse("a/starry.jpg:2.5").weight == 2.5
    two = StyleFile.parse("a/starry.jpg:2")
    assert (two.typed, two.label) == ("a/starry.jpg:2", "starry.jpg:2")
    assert StyleFile.parse("starry.jpg").weight == 1
    odd = tmp_path / "odd:3"
    odd.touch()
    assert StyleFile.parse(str(odd)).path == odd


def test_a_sweep_has_a_row_for_each_value(task, monitor, squeezenet, samples):
    result = replace(task, sweep="steps=1,2").run(squeezenet, photo(samples, squeezenet), monitor)
    assert [row["steps"] for row in result.metadata["sweep"]] == [1, 2]
    assert all("style" in row for row in result.metadata["sweep"])
    assert monitor.done == ["steps 1", "steps 2"]


def test_a_sweep_is_read_from_text():
    assert Sweep.parse("tv-weight=0,1e-2") == Sweep("tv_weight", (0.0, 0.01))
    for wrong in ("seed=1,2", "tv-weight", "tv-weight=a"):
        with pytest.raises(UsageError, match="A sweep"):
            Sweep.parse(wrong)


def test_where_nobody_chose_the_size_it_is_told_with_the_time_of_a_larger(task, monitor, squeezenet, samples):
    image = photo(samples, squeezenet)
    assert not task.run(squeezenet, image, monitor).warnings and not monitor.reporter.take()
    result = replace(task, is_default_size=True).run(squeezenet, image, monitor)
    assert [str(note[2]) for note in monitor.reporter.take()] == ["Painting at 48 px, the shorter side."]
    assert "512 px would take about" in result.warnings[0]


def test_default_sizes_are_by_device_alone():
    assert DEFAULT_SIDES == {"cpu": 256, "cuda": 512}
    assert [default_side(device) for device in ("cpu", "cuda", "mps")] == [256, 512, 256]
    assert time_at_larger_side(30, 256) == "It took 30 s at 256 px; 512 px would take about 2 min here."


def test_settings_without_effect_on_the_network_are_told(task, monitor, squeezenet, samples):
    settings = replace(task.settings, smoothing="scaled")
    replace(task, settings=settings).run(squeezenet, photo(samples, squeezenet), monitor)
    assert [note[1] for note in monitor.reporter.take()] == [("smoothing",)]
