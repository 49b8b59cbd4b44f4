"""What is certified and what is declined, on networks whose evidence is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import cnnviz
from cnnviz.attribution.metrics.bootstrap import interval_of, resampled_means
from cnnviz.errors import UsageError

FAST = {"steps": 4, "jitters": 2}


def test_a_read_out_is_certified(template, overlap_of, samples):
    image = cnnviz.read_image(samples / "astronaut.png", size=64)
    network, mask = template(image, 1)
    maps = {"saliency": cnnviz.saliency(network, image), "input-x-gradient": cnnviz.baseline_map("random", image, 9)}
    verdict = cnnviz.certify(network, image, maps, **FAST)
    assert verdict.certified, verdict
    assert (verdict.method, verdict.reason) == ("saliency", "")
    assert 0 < verdict.margin[0] <= verdict.estimate <= verdict.margin[1]
    assert overlap_of(maps["saliency"], mask) > 0.6
    assert list(verdict.choice.margins) == ["saliency", "input-x-gradient"]
    assert len(verdict.fills) == 12 and verdict.jitters == 2
    assert set(verdict.scores) == {"saliency", "random", "smooth-random", "middle", "edges"}


def test_what_ignores_its_input_is_declined(deaf):
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found = {"a": cnnviz.baseline_map("random", image, 7)}
    verdict = cnnviz.certify(deaf, image, found, **FAST)
    assert not verdict.certified
    assert verdict.reason == "the score hardly moves whatever is hidden"
    assert verdict.moved == pytest.approx(0, abs=1e-6)
    blank = cnnviz.certify(deaf, image, {"a": torch.zeros(1, 1, 64, 64)}, **FAST)
    assert (blank.certified, blank.method) == (False, None)
    assert "shows anything" in blank.reason


def test_maps_that_know_nothing_are_not_certified(template, samples):
    """The best of ten random maps beats the others by luck, which the other half of the fills does not repeat."""
    image = cnnviz.read_image(samples / "chelsea.png", size=64)
    network, _ = template(image, 0)
    maps = {f"luck {n}": cnnviz.baseline_map("random", image, 50 + n) for n in range(10)}
    verdict = cnnviz.certify(network, image, maps, **FAST)
    assert not verdict.certified
    assert verdict.margin[0] < 0 < verdict.moved


def test_a_fill_that_made_a_map_never_measures_it(template, samples):
    image = cnnviz.read_image(samples / "coffee.png", size=64)
    network, mask = template(image, 0)
    verdict = cnnviz.certify(
        network, image, {"mask": mask}, made_with={"mask": ("constant", "blur")}, steps=2, jitters=1
    )
    assert len(verdict.fills) == 9
    assert not [name for name in verdict.fills if name == "gray" or name.startswith("blur")]
    plain = cnnviz.certify(network, image, {"mask": mask}, steps=2, jitters=1)
    assert len(plain.fills) == 12
    assert plain.choice.scores["mask"] != verdict.choice.scores["mask"]


def test_it_is_the_same_each_time(template, samples):
    image = cnnviz.read_image(samples / "rocket.jpg", size=64)
    network, mask = template(image, 0)
    one, two, other = (
        cnnviz.certify(network, image, {"mask": mask}, steps=2, jitters=1, seed=seed) for seed in (0, 0, 1)
    )
    assert one == two
    assert one.estimate != other.estimate


def test_wrong_maps_are_refused(deaf):
    image = torch.rand(1, 3, 64, 64)
    for maps, words in (
        ({"a": torch.rand(1, 1, 32, 32)}, "has the shape"),
        ({"middle": torch.rand(1, 1, 64, 64)}, "name of a baseline"),
    ):
        with pytest.raises(UsageError, match=words):
            cnnviz.certify(deaf, image, maps)
    with pytest.raises(UsageError, match="One image"):
        cnnviz.certify(deaf, image.expand(2, -1, -1, -1), {})
    with pytest.raises(UsageError, match="at least one step"):
        cnnviz.certify(deaf, image, {}, steps=0)


def test_groups_are_drawn_before_what_is_in_them():
    """Alike within each group, ten measurements of it say no more than one."""
    rng = np.random.default_rng(0)
    groups = rng.normal(size=(12, 1))
    once, often = resampled_means(groups), resampled_means(np.repeat(groups, 10, 1))
    assert once.std() == pytest.approx(groups.std() / math.sqrt(12), rel=0.1)
    assert often.std() == pytest.approx(once.std(), rel=0.1)


def test_intervals_of_few_groups_cover_what_they_should():
    """Of 1,000 samples of eight, the 99 % interval leaves out the true mean in at most 3 %."""
    rng, missed = np.random.default_rng(1), 0
    for number in range(1_000):
        drawn = rng.normal(size=(8, 2)) * 0.3 + rng.normal(size=(8, 1))
        low, high = interval_of(float(drawn.mean()), resampled_means(drawn, number, 400), 8, 0.99)
        missed += not low <= 0 <= high
    assert missed <= 30
    assert interval_of(0.3, np.array([0.3]), 1, 0.99) == (-math.inf, math.inf)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("photo", ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"])
def test_read_outs_of_every_photo_are_certified(template, overlap_of, samples, photo, seed):
    image = cnnviz.read_image(samples / photo, size=64)
    network, mask = template(image, seed)
    maps = {
        "saliency": cnnviz.saliency(network, image),
        "input-x-gradient": cnnviz.input_x_gradient(network, image).sum(1, keepdim=True),
        "occlusion": cnnviz.occlusion(network, image, patch=8, stride=2),
    }
    verdict = cnnviz.certify(network, image, maps, made_with={"occlusion": ("constant",)}, seed=seed, **FAST)
    assert verdict.certified, verdict
    assert overlap_of(maps[verdict.method], mask) > 0.6


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(20))
def test_random_weights_are_declined(samples, seed):
    network = cnnviz.load_network("squeezenet1_1", weights="random", seed=seed)
    image = cnnviz.read_image(samples / "chelsea.png", size=64)
    maps = {"saliency": cnnviz.saliency(network, image), "gradcam": cnnviz.grad_cam(network, image)}
    assert not cnnviz.certify(network, image, maps, seed=seed, **FAST).certified
