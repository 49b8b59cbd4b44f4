"""Attacks on networks that decide about each label for itself, and on regressions, which have no classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import cnnviz
from cnnviz.adversarial.image_attack import fool
from cnnviz.adversarial.image_loading import ImagePipeline
from cnnviz.adversarial.objective import class_names, losses_of, predictions_of, scores_of
from cnnviz.adversarial.settings import Attack
from cnnviz.errors import ImageError, UsageError
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec

SPEC = InputSpec(size=6, mean=(0.5,) * 3, std=(0.5,) * 3)
LABELS = ("sky", "sea", "dog")
PHOTO = Image.fromarray(np.random.default_rng(0).integers(90, 160, (6, 6, 3), dtype=np.uint8))
PIXELS = torch.from_numpy(np.array(PHOTO)).permute(2, 0, 1)[None] / 255


def network(activation: str) -> Network:
    """A linear network that says sky (z = 3) and sea (z = 1) of the photo, but not dog (z = -1)."""
    torch.manual_seed(1)
    module = nn.Sequential(nn.Flatten(), nn.Linear(108, 3))
    made = Network(module, spec=SPEC, labels=LABELS, activation=activation)
    with torch.no_grad():
        module[1].weight *= 5
        module[1].bias += torch.tensor([3.0, 1.0, -1.0]) - made(PIXELS)[0]
    return made


@pytest.fixture
def tags() -> Network:
    return network("sigmoid")


def test_the_loss_of_a_label_is_of_its_own_probability_alone(tags):
    scores = scores_of(tags, PIXELS.expand(6, -1, -1, -1))
    expected = torch.nn.functional.binary_cross_entropy_with_logits
    losses = losses_of(tags, scores, torch.arange(6))
    logits = tags(PIXELS)[0]
    yes, no = (expected(logits, torch.full((3,), value), reduction="none") for value in (1.0, 0.0))
    torch.testing.assert_close(losses, torch.cat([yes, no]))
    assert class_names(tags) == (*LABELS, "not sky", "not sea", "not dog")


def test_a_prediction_is_the_likeliest_label_or_the_decision_about_one(tags):
    found = [predictions_of(tags, PIXELS, about)[0] for about in (None, 1, 2, 5)]
    assert [each.label for each in found] == ["sky", "sea", "not dog", "not dog"]
    probabilities = torch.sigmoid(tags(PIXELS))[0].tolist()
    expected = [probabilities[0], probabilities[1], 1 - probabilities[2], 1 - probabilities[2]]
    assert [each.score for each in found] == pytest.approx(expected)
    assert [each.score for each in tags.predict(PIXELS)[0]] == pytest.approx(probabilities)


@pytest.mark.parametrize("method", ["fgsm", "iterative", "ascent", "deepfool"])
def test_a_label_is_added_or_taken_away_whatever_the_others_are(tags, method):
    pipeline = ImagePipeline((6, 6))
    if method != "deepfool":
        found = fool(tags, PHOTO, Attack(method, 20 / 255, target=2, steps=20), pipeline)
        assert found.success
        assert (found.before.label, found.after.label) == ("not dog", "dog")
        assert found.after.score > 0.5
    if method != "ascent":
        for label in (None, 1):
            found = fool(tags, PHOTO, Attack(method, 40 / 255, label=label, steps=30), pipeline)
            assert found.success
            named = LABELS[label or 0]
            assert (found.before.label, found.after.label) == (named, f"not {named}")


def test_what_is_said_already_or_not_said_at_all_is_no_goal(tags):
    with pytest.raises(ImageError, match="takes it for sea already"):
        fool(tags, PHOTO, Attack(target=1), ImagePipeline((6, 6)))
    with pytest.raises(ImageError, match="does not take it for dog but for not dog"):
        fool(tags, PHOTO, Attack(label=2), ImagePipeline((6, 6)))


def test_a_regression_has_no_classes_to_be_fooled_about():
    values = network("none")
    ways = (
        lambda: cnnviz.fgsm(values, PIXELS),
        lambda: cnnviz.iterative_fgsm(values, PIXELS, target=1),
        lambda: cnnviz.deepfool(values, PIXELS),
        lambda: cnnviz.fooling_image(values, PIXELS, 1),
        lambda: cnnviz.universal_perturbation(values, PIXELS),
        lambda: fool(values, PHOTO, Attack(), ImagePipeline((6, 6))),
    )
    for way in ways:
        with pytest.raises(UsageError, match="gives values, not probabilities of classes"):
            way()


def test_many_sigmoids_that_round_to_one_keep_the_order_of_their_logits():
    module = nn.Sequential(nn.Flatten(), nn.Linear(108, 3))
    with torch.no_grad():
        module[1].weight.zero_()
        module[1].bias.copy_(torch.tensor([40.0, 80.0, 60.0]))
    found = Network(module, spec=SPEC, labels=LABELS, activation="sigmoid").predict(PIXELS)[0]
    assert [(each.index, each.score) for each in found] == [(1, 1.0), (2, 1.0), (0, 1.0)]


def test_the_softmax_of_one_logit_is_refused():
    module = nn.Sequential(nn.Flatten(), nn.Linear(108, 1))
    with pytest.raises(UsageError, match="always 1"):
        Network(module, spec=SPEC, activation="softmax").predict(PIXELS)
