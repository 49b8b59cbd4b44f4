"""The task of ``fool``: its settings as the library's, and what it says of a network that is not fooled."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

import cnnviz
from cnnviz.errors import ImageError, UsageError
from cnnviz.imaging.pixels import to_pixels
from cnnviz.pipeline.config import InputConfig, MonitorConfig, OutputConfig
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.run import PipelineConfig
from cnnviz.pipeline.step_monitor import StepMonitor
from cnnviz.tasks.fool import CONFIDENCE, Fool

SMALL = InputConfig(size=64)


def run(task, network, samples, config=SMALL):
    image = read_image(ImageSource(samples / "coffee.png"), network, config)
    return task.run(network, image, StepMonitor(MonitorConfig()))


def test_it_is_a_value_that_travels():
    task = Fool(target="flamingo", epsilon="8", raw=True)
    assert pickle.loads(pickle.dumps(task)) == task


@pytest.mark.parametrize(
    ("task", "method"),
    [
        (Fool(), "fgsm"),
        (Fool(target="flamingo"), "iterative"),
        (Fool(norm="l2"), "iterative"),
        (Fool(jpeg=90), "iterative"),
        (Fool(raw=True, raw_format=".jpg"), "iterative"),
        (Fool(raw_format=".jpg"), "fgsm"),  # on a panel nobody is fooled
        (Fool(method="deepfool", jpeg=90), "deepfool"),
    ],
)
def test_one_step_is_taken_where_one_suffices(task, method):
    assert task.chosen_method == task.attack(None, None).method == method


def test_the_attack_goes_on_to_be_sure_unless_a_method_was_named():
    found = [Fool(method=method).attack(None, None).confidence for method in (None, "iterative", "fgsm")]
    assert found == [CONFIDENCE, CONFIDENCE, 0]


def test_the_smallest_epsilon_is_looked_for_up_to_thirty_two_gray_levels():
    assert Fool(min_epsilon=True).largest_epsilon == pytest.approx(32 / 255)
    assert Fool(min_epsilon=True, epsilon="4").largest_epsilon == pytest.approx(4 / 255)


def test_a_bad_epsilon_is_refused_at_once():
    with pytest.raises(UsageError, match="'eight' is not a size"):
        Fool(epsilon="eight")


def test_a_network_that_is_not_fooled_is_a_warning_or_a_failure(squeezenet, samples):
    task = Fool(epsilon="0", small=True)
    result = run(task, squeezenet, samples)
    assert not result.metadata["success"]
    (warning,) = result.warnings
    assert "the network was not fooled: it still says" in warning and warning.remedy == "stronger_attack"
    with pytest.raises(ImageError, match="The network was not fooled") as refused:
        run(replace(task, strict=True), squeezenet, samples)
    assert refused.value.values == {"is_lossless": True}


def test_a_cropped_image_is_attacked_through_the_crop(squeezenet, samples):
    result = run(Fool(epsilon="8", raw=True), squeezenet, samples, InputConfig(size=64, crop=True))
    image = read_image(ImageSource(samples / "coffee.png"), squeezenet, InputConfig(size=64, crop=True))
    seen = to_pixels(result.image, image.size, image.crop)
    assert seen.shape == image.pixels.shape == (1, 3, 64, 64)
    assert squeezenet.predict(seen, 1)[0][0][0] == result.metadata["after"]["index"]


def test_called_from_python_the_file_is_judged_by_its_format(squeezenet, samples, tmp_path):
    config = PipelineConfig(squeezenet, SMALL, OutputConfig(str(tmp_path / "out.jpg")))
    (result,) = cnnviz.run_images(Fool(small=True, raw=True, steps=2), samples / "coffee.png", config)
    assert result.metadata["judged_as"] == ".jpg"
    assert result.paths == (tmp_path / "out.jpg",)
