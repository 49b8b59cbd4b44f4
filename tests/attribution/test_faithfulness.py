"""Deletion and insertion curves against a loop written out, the randomization check, and --check."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr
from torch import nn

import cnnviz
from cnnviz.attribution.faithfulness import map_ssim, randomized, rank_correlation
from cnnviz.attribution.occlusion import replicate_blur
from cnnviz.errors import UsageError
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec

NET = ("-m", "squeezenet1_1")


class Tiny(nn.Module):
    """Two convolutions with a normalization between them, and three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 8, 3)
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        x = torch.tanh(self.second(torch.tanh(self.norm(self.first(x)))))
        return self.fc(x.mean((2, 3)))


@pytest.fixture
def tiny() -> Network:
    torch.manual_seed(3)
    module = Tiny()
    module.norm.running_mean.normal_()
    module.norm.weight.data.uniform_(0.5, 1.5)
    return Network(module, spec=InputSpec(size=8, mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3))).to(torch.float64)


def written_out(network, before, after, found, index, steps):
    """The probability after each share of pixels, one pixel changed at a time, in numpy's order of the map."""
    order = np.argsort(-found.numpy().ravel(), kind="stable")
    width = found.shape[1]
    image, probabilities, changed = before.clone(), [], 0
    for step in range(steps + 1):
        while changed < round(step / steps * order.size):
            row, column = divmod(int(order[changed]), width)
            image[0, :, row, column] = after[0, :, row, column]
            changed += 1
        probabilities.append(float(network(image).softmax(1)[0, index]))
    return probabilities


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_curves_are_the_loop_written_out(tiny, batch):
    pixels, found = torch.rand(2, 3, 8, 9, dtype=torch.float64), torch.randn(2, 1, 8, 9).round(decimals=1)
    deletion = cnnviz.deletion_curve(tiny, pixels, found, [2, 1], steps=7, batch=batch)
    insertion = cnnviz.insertion_curve(tiny, pixels, found, [2, 1], steps=7, batch=batch, blur=2.0)
    grey = torch.tensor([0.2, 0.4, 0.6], dtype=torch.float64).view(1, 3, 1, 1).expand(1, 3, 8, 9)
    for n, index in enumerate([2, 1]):
        image = pixels[n : n + 1]
        expected = written_out(tiny, image, grey, found[n, 0], index, 7)
        np.testing.assert_allclose(deletion.probabilities[n], expected, rtol=1e-12)
        expected = written_out(tiny, replicate_blur(image, 2.0), image, found[n, 0], index, 7)
        np.testing.assert_allclose(insertion.probabilities[n], expected, rtol=1e-12)
        by_hand = (sum(expected) - (expected[0] + expected[-1]) / 2) / 7
        assert float(insertion.area[n]) == pytest.approx(by_hand, rel=1e-12)
    assert deletion.shares.tolist() == pytest.approx([step / 7 for step in range(8)])


def test_a_map_on_the_object_beats_its_opposite(squeezenet, chelsea):
    found = cnnviz.grad_cam(squeezenet, chelsea, 285)
    areas = [
        float(curve(squeezenet, chelsea, sign * found, 285, steps=10).area)
        for curve in (cnnviz.deletion_curve, cnnviz.insertion_curve)
        for sign in (1, -1)
    ]
    assert areas[0] < areas[1] / 2
    assert areas[2] > areas[3]


def test_curves_refuse_what_does_not_fit(tiny):
    pixels, found = torch.rand(1, 3, 8, 8), torch.rand(1, 1, 8, 7)
    with pytest.raises(UsageError, match="same height and width"):
        cnnviz.deletion_curve(tiny, pixels, found)
    with pytest.raises(UsageError, match="at least one step"):
        cnnviz.insertion_curve(tiny, pixels, found[..., :1].expand(1, 1, 8, 8), steps=0)


def test_rank_correlation_is_scipys():
    torch.manual_seed(0)
    one = torch.randn(1, 12, 15).round(decimals=1)
    for other in (torch.randn(1, 12, 15).round(decimals=1), one**3, one.abs(), -one):
        expected = spearmanr(one.numpy().ravel(), other.numpy().ravel()).statistic
        assert rank_correlation(one, other) == pytest.approx(expected, abs=1e-12)
    assert rank_correlation(one, torch.ones_like(one)) == 0


def test_ssim_of_maps(chelsea):
    found = chelsea[0, :1]
    assert map_ssim(found, 3 * found) == pytest.approx(1, abs=1e-9), "maps have no scale"
    assert map_ssim(found, torch.rand(found.shape)) < 0.1


def state_of(network: Network) -> dict[str, torch.Tensor]:
    return copy.deepcopy(network.module.state_dict())


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[key], other[key]) for key in one)


def test_randomising_leaves_the_network_bit_identical(tiny):
    before, pixels = state_of(tiny), torch.rand(1, 3, 8, 8)
    for cascading in (False, True):
        cnnviz.randomization_check(tiny, pixels, lambda net, x: cnnviz.saliency(net, x, 1), cascading=cascading)
    copied = randomized(tiny, seed=5)
    assert same(before, state_of(tiny))
    assert not torch.allclose(copied.body.fc.weight, tiny.body.fc.weight)
    assert copied.body.norm.running_mean.abs().max() == 0
    assert same(state_of(copied), state_of(randomized(tiny, seed=5)))
    assert not same(state_of(copied), state_of(randomized(tiny, seed=6)))


def test_cascade_goes_from_the_logits_down(tiny):
    """At each step the layers named so far are random, and those below are still the network's own."""
    seen = []

    def attribute(net, x):
        seen.append(state_of(net))
        return cnnviz.saliency(net, x, 1)

    steps = cnnviz.randomization_check(tiny, torch.rand(1, 3, 8, 8), attribute, cascading=True)
    assert [step.layer for step in steps] == ["fc", "second", "norm", "first"]
    own, after = seen[0], seen[1:]
    for number, state in enumerate(after):
        kept = [step.layer for step in steps[number + 1 :]]
        changed = [step.layer for step in steps[: number + 1]]
        assert all(torch.equal(own[key], state[key]) for key in own if key.split(".")[0] in kept)
        assert not any(torch.equal(own[f"{name}.weight"], state[f"{name}.weight"]) for name in changed)


def test_an_edge_detector_fails_the_check_and_saliency_passes(squeezenet, chelsea):
    """Adebayo's point: a map that does not look at the weights stays as it is."""

    def edges(net, x):
        return (x - x.roll(1, 3)).abs().amax(1, keepdim=True)

    (blind,) = cnnviz.randomization_check(squeezenet, chelsea, edges)
    assert float(blind.ssim) == pytest.approx(1)
    assert float(blind.rank_correlation) == pytest.approx(1)
    (seeing,) = cnnviz.randomization_check(squeezenet, chelsea, lambda net, x: cnnviz.saliency(net, x, 285))
    assert float(seeing.ssim) < 0.5
    assert float(seeing.rank_correlation) < 0.6
    assert seeing.maps.min() < seeing.maps.max(), "drawn again while the class is dead"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "options"),
    [("saliency", ()), ("guided", ("--raw",)), ("gradcam", ("--view", "overlay")), ("occlusion", ("--stride", 32))],
)
def test_check_on_the_commands(run_cnnviz, samples, tmp_path, command, options):
    arguments = (command, samples / "coffee.png", *NET, "--size", 100, *options, "--check", "-o", "a.png")
    record = json.loads(run_cnnviz(*arguments, "--json").stdout)
    assert record["companions"] == ["a.check.png"]
    assert Image.open(tmp_path / "a.check.png").width > 1000
    check = record["check"]
    assert len(check["shares"]) == len(check["deletion"]) == len(check["insertion"]) == 33
    probability = record["target"]["probability"]
    assert check["deletion"][0] == pytest.approx(probability, abs=1e-4)
    assert check["insertion"][-1] == pytest.approx(probability, abs=1e-4)
    assert 0 <= check["areas_of_randomized_map"]["insertion"] <= 1
    assert check["areas"]["deletion"] == pytest.approx(np.mean(check["deletion"]), abs=0.02)
    assert -1 <= check["randomized"]["rank_correlation"] < 1
    assert set(check["measures"]) == {"hiding", "road", "infidelity"}
    for values in check["measures"].values():
        assert set(values) == {"map", "random", "smooth-random", "middle", "edges"}
    assert check["sensitivity_max"] > 0


def test_check_measures_maps_by_marked_objects(run_cnnviz, samples, tmp_path):
    marks = {
        "images": [{"id": 1, "file_name": "coffee.png"}],
        "annotations": [{"image_id": 1, "bbox": [150, 60, 320, 300]}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(marks))
    plain = ("gradcam", samples / "coffee.png", *NET, "--size", 64, "--boxes", "boxes.json", "-o", "a.png")
    record = json.loads(run_cnnviz(*plain, "--check", "--json").stdout)
    found = record["check"]["localization"]
    assert found["hit"] is True
    assert found["area"] == pytest.approx(320 * 300 / (600 * 400), abs=0.02)
    assert found["overlap"] > found["area"], "better than a map that knows nothing"
    assert "--boxes has no effect without --check" in run_cnnviz(*plain, "--force").stderr
    (tmp_path / "boxes.json").write_text("{")
    assert run_cnnviz(*plain, "--check", "--force").exit_code == 2


@pytest.mark.slow
def test_check_of_a_wide_strip_stays_a_figure(run_cnnviz, samples, tmp_path):
    Image.open(samples / "chelsea.png").crop((0, 60, 451, 97)).save(tmp_path / "strip.png")
    assert run_cnnviz("gradcam", "strip.png", *NET, "--size", 100, "--check").exit_code == 0
    width, height = Image.open(tmp_path / "strip.gradcam.check.png").size
    assert 1000 < width < 1500
    assert 400 < height < 1200


def test_check_prints_its_numbers_and_needs_files(run_cnnviz, samples):
    image = samples / "coffee.png"
    lines = run_cnnviz("gradcam", image, *NET, "--size", 64, "--check").stdout.splitlines()
    assert lines[:2] == ["coffee.gradcam.png", "coffee.gradcam.check.png"]
    assert [line.split(",")[0].rsplit(" ", 1)[0] for line in lines[2:4]] == ["  deletion area", "  insertion area"]
    assert "rank correlation" in lines[4]
    refused = run_cnnviz("gradcam", image, *NET, "--check", "-o", "-")
    assert (refused.exit_code, "--check writes several files" in refused.stderr) == (2, True)
    neuron = run_cnnviz("guided", image, *NET, "--check", "--layer", "fire5", "--channel", 17)
    assert (neuron.exit_code, "leave out --layer" in neuron.stderr) == (2, True)


class Flattened(nn.Module):
    """A network with a view, which needs maps that are contiguous, and batch normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4 * 6 * 6, 3)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).relu().view(x.size(0), -1))


def test_a_module_of_the_users_own_is_randomized_as_it_is():
    module = Flattened()
    module.norm.running_mean.fill_(0.5)
    network, pixels = Network(module, spec=InputSpec(size=8)), torch.rand(1, 3, 8, 8)
    steps = cnnviz.randomization_check(network, pixels, lambda net, x: cnnviz.saliency(net, x, 0), cascading=True)
    assert [step.layer for step in steps] == ["fc", "norm", "conv"]
    assert float(module.norm.running_mean[0]) == 0.5
    copied = randomized(network)
    assert not copied.body.norm.running_mean.any()
