"""The tasks of ``universal``: why a perturbation is weak, and what it does where it is applied."""

from __future__ import annotations

import pickle

import pytest
import torch

import cnnviz
from cnnviz.adversarial.settings import UniversalSettings
from cnnviz.adversarial.universal_training import MeasuredImages, TrainedPerturbation
from cnnviz.errors import UsageError
from cnnviz.imaging.disk_images import DiskImages
from cnnviz.pipeline.config import InputConfig, OutputConfig
from cnnviz.pipeline.run import PipelineConfig
from cnnviz.tasks.universal import ApplyPerturbation, Universal, weakness


def test_they_are_values_that_travel():
    task = Universal(epsilon="8", crops=2, start=torch.zeros(1, 3, 4, 4))
    copy = pickle.loads(pickle.dumps(task))
    assert copy == task and copy.start.shape == (1, 3, 4, 4)


@pytest.mark.parametrize(
    ("epsilon", "size", "remedy", "says"),
    [
        (0, 0, "first_epsilon", "an epsilon of 0"),
        (2 / 255, 1 / 255, "more_passes", "grown to 1/255 of the 2/255 allowed"),
        (2 / 255, 2 / 255, "larger_epsilon", "as large as allowed (2/255)"),
    ],
)
def test_a_weak_perturbation_is_too_small_or_was_trained_too_little(epsilon, size, remedy, says):
    images = DiskImages(4, 4)
    images.append(torch.zeros(20, 3, 4, 4))
    training = MeasuredImages(images, torch.arange(20) == 3)
    found = TrainedPerturbation(torch.full((1, 3, 4, 4), size), training, None)
    remark = weakness(found, UniversalSettings(epsilon))
    assert "on 1 of the 20 training images" in remark and says in remark
    assert remark.remedy == remedy


def test_a_bad_epsilon_is_refused_at_once():
    with pytest.raises(UsageError, match="'wide' is not a size"):
        Universal(epsilon="wide")


def test_a_perturbation_is_added_to_images_from_python(squeezenet, samples, tmp_path):
    config = PipelineConfig(squeezenet, InputConfig(size=64), OutputConfig(str(tmp_path / "out.png")))
    perturbation = torch.full((1, 3, 8, 8), 4 / 255)
    task = ApplyPerturbation(raw=True, perturbation=perturbation)
    (result,) = cnnviz.run_images(task, samples / "chelsea.png", config)
    assert result.metadata["linf"] == pytest.approx(4 / 255, abs=1e-6)
    assert result.metadata["judged_as"] == ".png"
