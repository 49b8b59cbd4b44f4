"""Occlusion as a task: the map, what is said of it, and its test."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cnnviz.attribution.occlusion import occlusion_grids
from cnnviz.attribution.settings import OcclusionSettings
from cnnviz.errors import ImageError
from cnnviz.pipeline.config import InputConfig
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.tasks.occlusion import Occlusion
from cnnviz.tasks.shared.check import CHECK_SIDECAR
from cnnviz.tasks.shared.maps import MapSettings

TASK = Occlusion(settings=OcclusionSettings(patch=24, stride=20))


@pytest.fixture(scope="module")
def image(squeezenet, samples):
    return read_image(ImageSource(samples / "chelsea.png"), squeezenet, InputConfig(size=64))


def result_of(task, network, image):
    (answer,) = task.compute(network, image.pixels)
    return task.render(network, image, answer)


def test_the_grid_is_the_librarys(squeezenet, image):
    result = result_of(replace(TASK, target="lynx"), squeezenet, image)
    (grid,) = occlusion_grids(squeezenet, image.pixels, "lynx", TASK.settings)
    assert result.metadata["target"]["label"] == result.target == "lynx"
    assert torch.allclose(torch.tensor(result.metadata["drops"]), grid.score_drops, atol=1e-5)
    assert result.metadata["largest_drop"] == pytest.approx(float(grid.score_drops.max()), abs=1e-5)
    assert (result.metadata["tops"], result.metadata["lefts"]) == (grid.tops.tolist(), grid.lefts.tolist())


def test_the_winning_classes_are_shown_where_a_second_one_wins(squeezenet, image):
    (answer,) = TASK.compute(squeezenet, image.pixels)
    assert len(answer.grid.classes.unique()) > 1
    one_wins = replace(answer, grid=replace(answer.grid, classes=torch.full_like(answer.grid.classes, 285)))
    two, one = (TASK.render(squeezenet, image, each).image.width for each in (answer, one_wins))
    asked = replace(TASK, class_map=True).render(squeezenet, image, one_wins).image.width
    assert one < two == asked


def test_the_seed_is_the_noises(squeezenet, image):
    noisy = replace(TASK, settings=replace(TASK.settings, fill="noise", score="logit"))
    one, same, other = (result_of(replace(noisy, seed=seed), squeezenet, image).metadata["drops"] for seed in (0, 0, 5))
    assert one == same != other


def test_a_raw_map_has_a_pixel_for_each_position(squeezenet, image):
    result = result_of(replace(TASK, maps=MapSettings(view="raw")), squeezenet, image)
    assert result.image.size == (len(result.metadata["lefts"]), len(result.metadata["tops"]))


@pytest.mark.slow
def test_the_check_stands_beside_the_map(squeezenet, image):
    task = replace(TASK, check=True)
    result = result_of(task, squeezenet, image)
    assert task.sidecars == (CHECK_SIDECAR,) == tuple(result.sidecars)
    assert "areas_of_randomized_map" in result.metadata["check"]


def test_a_patch_larger_than_the_image_is_refused(squeezenet, image):
    with pytest.raises(ImageError, match="A patch of 65 pixels does not fit"):
        Occlusion(settings=OcclusionSettings(patch=65)).compute(squeezenet, image.pixels)
