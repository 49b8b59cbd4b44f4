"""Attacks against their definitions, against captum, and against closed forms on linear networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import cnnviz
from cnnviz.adversarial import norms
from cnnviz.errors import UsageError
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec


@pytest.fixture
def pixels(chelsea) -> torch.Tensor:
    return chelsea[..., :96, :120].repeat(2, 1, 1, 1) * torch.tensor([1.0, 0.7]).view(2, 1, 1, 1)


@pytest.fixture
def linear() -> Network:
    """Three classes whose scores are linear in the pixels, so that every boundary is a plane."""
    torch.manual_seed(1)
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 6, 3)).double()
    return Network(module, spec=InputSpec(size=6, fixed=True, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4)))


def test_fgsm_is_its_definition(squeezenet, pixels):
    leaf = pixels.clone().requires_grad_()
    labels = squeezenet(pixels).argmax(1)
    gradient = torch.autograd.grad(F.cross_entropy(squeezenet(leaf), labels, reduction="sum"), leaf)[0]
    expected = (pixels + 3 / 255 * gradient.sign()).clamp(0, 1)
    torch.testing.assert_close(cnnviz.fgsm(squeezenet, pixels, 3 / 255), expected, atol=1e-6, rtol=0)


def test_fgsm_and_pgd_are_captums(squeezenet, pixels):
    from captum.robust import FGSM, PGD

    labels = squeezenet(pixels).argmax(1)
    loss = nn.CrossEntropyLoss(reduction="none")
    step, attack = (kind(squeezenet, loss, lower_bound=0, upper_bound=1) for kind in (FGSM, PGD))
    step.zero_thresh = attack.fgsm.zero_thresh = 0.0  # captum leaves pixels of gradients below 1e-6 alone
    peer = step.perturb(pixels, 2 / 255, labels)
    torch.testing.assert_close(cnnviz.fgsm(squeezenet, pixels, 2 / 255), peer, atol=1e-6, rtol=0)
    peer = attack.perturb(pixels, radius=4 / 255, step_size=1 / 255, step_num=5, target=labels)
    ours = cnnviz.iterative_fgsm(squeezenet, pixels, 4 / 255, step_size=1 / 255, steps=5)
    torch.testing.assert_close(ours, peer, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 3 / 255), ("l2", 0.7)])
@pytest.mark.parametrize("random_start", [False, True])
def test_iterative_keeps_to_the_ball_and_to_pixels(squeezenet, pixels, norm, epsilon, random_start):
    found = cnnviz.iterative_fgsm(
        squeezenet, pixels, epsilon, norm=norm, steps=4, target=130, random_start=random_start, seed=3
    )
    assert norms.size(found - pixels, norm).max() <= epsilon * (1 + 1e-5)
    assert found.min() >= 0
    assert found.max() <= 1
    gain = squeezenet(found).log_softmax(1)[:, 130] - squeezenet(pixels).log_softmax(1)[:, 130]
    assert gain.min() > 1


def test_random_starts_follow_the_seed(squeezenet, pixels):
    def run(seed: int) -> torch.Tensor:
        return cnnviz.iterative_fgsm(squeezenet, pixels, 0.02, steps=1, step_size=0.0, random_start=True, seed=seed)

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_deepfool_finds_the_nearest_plane(linear, norm):
    """On linear scores the distance to a boundary is gap / |difference of weights| in the dual norm."""
    picture = torch.full((1, 3, 6, 6), 0.5, dtype=torch.float64)
    logits = linear(picture)[0]
    label = int(logits.argmax())
    scale = torch.tensor(linear.spec.std, dtype=torch.float64).view(1, 3, 1, 1)
    weights = linear.module[1].weight.view(3, 3, 6, 6) / scale
    dual = {"l2": 2, "linf": 1}[norm]
    distances = [
        float((logits[label] - logits[c]) / (weights[c] - weights[label]).flatten().norm(dual))
        for c in range(3)
        if c != label
    ]
    found = cnnviz.deepfool(linear, picture, norm=norm, overshoot=0.02)
    assert int(linear(found).argmax()) != label
    size = float(norms.size(found - picture, norm))
    assert size == pytest.approx(1.02 * min(distances), rel=1e-3)


def test_deepfool_leaves_alone_what_is_fooled_already(linear):
    picture = torch.full((1, 3, 6, 6), 0.5, dtype=torch.float64)
    other = (int(linear(picture).argmax()) + 1) % 3
    assert torch.equal(cnnviz.deepfool(linear, picture, label=other), picture)


def test_ascent_stops_once_fooled(squeezenet, chelsea):
    steps = []
    found = cnnviz.fooling_image(
        squeezenet, chelsea, "flamingo", step_size=0.5, steps=60, extra=2, on_step=lambda s: steps.append(s.step)
    )
    assert squeezenet.predict(found, 1)[0][0][1] == "flamingo"
    assert len(steps) < 60
    assert float((found - chelsea).norm()) <= 0.5 * len(steps) * (1 + 1e-5)
    bounded = cnnviz.fooling_image(squeezenet, chelsea, "flamingo", steps=6, epsilon=0.8)
    assert float((bounded - chelsea).norm()) <= 0.8 * (1 + 1e-5)


def test_attacks_leave_network_and_pictures_as_they_were(squeezenet, pixels):
    before = [p.clone() for p in squeezenet.module.parameters()]
    given = pixels.clone()
    cnnviz.fgsm(squeezenet, pixels)
    cnnviz.deepfool(squeezenet, pixels[:1], steps=1)
    assert torch.equal(pixels, given)
    assert all(torch.equal(a, b) for a, b in zip(before, squeezenet.module.parameters(), strict=True))


def test_senseless_arguments(squeezenet, pixels):
    with pytest.raises(UsageError, match="at least 0"):
        cnnviz.fgsm(squeezenet, pixels, -1)
    with pytest.raises(UsageError, match="no norm 'l1'"):
        cnnviz.iterative_fgsm(squeezenet, pixels, 0.1, norm="l1")
    with pytest.raises(UsageError, match="no class called"):
        cnnviz.fgsm(squeezenet, pixels, target="zebu")
    with pytest.raises(UsageError, match="at least one image"):
        cnnviz.universal_perturbation(squeezenet, torch.zeros(0, 3, 64, 64))
    with pytest.raises(UsageError, match="no method"):
        cnnviz.universal_perturbation(squeezenet, pixels, method="magic")


@pytest.mark.parametrize("method", ["gradient", "deepfool"])
def test_universal_perturbation_keeps_to_its_ball_and_fools_what_it_learned_from(squeezenet, samples, method):
    photos = [cnnviz.read_image(samples / n, size=(96, 96)) for n in ("chelsea.png", "coffee.png", "rocket.jpg")]
    pictures = torch.cat(photos)
    rates = []
    found = cnnviz.universal_perturbation(
        squeezenet, pictures, 10 / 255, method=method, passes=20, on_step=lambda s: rates.append(s.terms["fooled"])
    )
    assert found.shape == (1, 3, 96, 96)
    assert float(found.abs().max()) <= 10 / 255 + 1e-7
    assert cnnviz.fooling_rate(squeezenet, pictures, found) == pytest.approx(rates[-1])
    assert rates[-1] >= 2 / 3
    assert cnnviz.fooling_rate(squeezenet, pictures, torch.zeros_like(found)) == 0


def test_a_perturbation_is_repeated_like_tiles():
    from cnnviz.adversarial.universal import apply_perturbation

    tile = torch.arange(12.0).view(1, 3, 2, 2) / 100
    found = apply_perturbation(tile, torch.zeros(1, 3, 3, 5))
    assert torch.equal(found[0, :, 2, 4], tile[0, :, 0, 0])
    assert torch.equal(found[0, :, 1, 3], tile[0, :, 1, 1])
