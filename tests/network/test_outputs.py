"""Which of a module's outputs are the logits: chosen by name, index or a function, everywhere alike."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cnnviz
from cnnviz.errors import ModelError, UsageError
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec

SPEC = InputSpec(size=8, mean=(0.0,) * 3, std=(1.0,) * 3)
PIXELS = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
Pair = namedtuple("Pair", "logits aux")


@dataclass
class Both:
    """Two outputs as attributes, as the transformers library returns them."""

    logits: Tensor
    aux: Tensor


class TwoHeads(nn.Module):
    """A small network with two heads, whose outputs are ``packed`` into one object."""

    def __init__(self, packed: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.head, self.aux, self.packed = nn.Linear(4, 3), nn.Linear(4, 5), packed

    def forward(self, x: Tensor) -> Any:
        pooled = self.body(x).mean((2, 3))
        return self.packed(self.head(pooled), self.aux(pooled))


CHOICES = {
    "key": (lambda a, b: {"logits": a, "aux": b}, "aux"),
    "place in a dict": (lambda a, b: {"logits": a, "aux": b}, 1),
    "index": (lambda a, b: (a, b), 1),
    "index as text": (lambda a, b: [a, b], "1"),
    "from the end": (lambda a, b: (a, b), -1),
    "name in a tuple": (Pair, "aux"),
    "attribute": (Both, "aux"),
    "path": (lambda a, b: {"heads": {"aux": b, "logits": a}, "x": a}, "heads.aux"),
    "path of places": (lambda a, b: [(a, b), a], "0.1"),
    "name with a dot": (lambda a, b: {"heads.aux": b, "heads": a}, "heads.aux"),
    "inside": (lambda a, b: {"logits": a, "aux": (b,)}, "aux"),
    "function": (lambda a, b: {"heads": {"aux": b}, "logits": a}, lambda output: output["heads"]["aux"]),
    "computed": (lambda a, b: (a, b), lambda output: output[1] * 2 / 2),
}


def chosen(choice: str, **others: Any) -> Network:
    packed, output = CHOICES[choice]
    return Network(TwoHeads(packed), spec=SPEC, output=output, **others)


def alone() -> Network:
    return Network(TwoHeads(lambda a, b: b), spec=SPEC)


@pytest.mark.parametrize("choice", CHOICES)
def test_the_output_that_was_chosen_is_explained(choice):
    network, expected = chosen(choice), alone()
    assert network.classes == 5
    torch.testing.assert_close(network(PIXELS), expected(PIXELS))
    torch.testing.assert_close(network.logits(PIXELS), expected(PIXELS))
    torch.testing.assert_close(network.graph(network.normalize(PIXELS)), expected(PIXELS))
    ways = (
        cnnviz.saliency,
        cnnviz.guided_backprop,
        lambda net, pixels, target: cnnviz.grad_cam(net, pixels, target, layer="body.0"),
        lambda net, pixels, target: cnnviz.occlusion(net, pixels, target, patch=4, stride=4),
        lambda net, pixels, target: cnnviz.occlusion(net, pixels, target, patch=2, stride=2, algorithm="incremental"),
    )
    for way in ways:
        torch.testing.assert_close(way(network, PIXELS, 4), way(expected, PIXELS, 4))
    assert set(network.features(PIXELS, ["head", "aux"])) == {"head", "aux"}


@pytest.mark.parametrize("packed", [lambda a, b: (a,), lambda a, b: {"logits": a}, lambda a, b: Both([a], None)])
def test_a_single_output_needs_no_choice(packed):
    network = Network(TwoHeads(packed), spec=SPEC)
    assert network(PIXELS).shape == network.graph(network.normalize(PIXELS)).shape == (2, 3)
    assert cnnviz.saliency(network, PIXELS, 0).shape == (2, 1, 8, 8)


def test_without_a_choice_the_outputs_are_listed():
    with pytest.raises(ModelError, match=r"custom has 2 outputs, 'logits' \(1, 3\) and 'aux' \(1, 5\): say which"):
        Network(TwoHeads(lambda a, b: {"logits": a, "aux": b}), spec=SPEC)


def test_outputs_inside_others_are_listed_with_their_paths():
    with pytest.raises(ModelError, match=r"2 outputs, 'heads\.a' \(1, 3\) and 'heads\.0\.0' \(1, 5\): say"):
        Network(TwoHeads(lambda a, b: {"heads": {"a": a, 0: [b]}}), spec=SPEC)
    assert Network(TwoHeads(lambda a, b: {"heads": {"a": a, 0: [b]}}), spec=SPEC, output="heads.0.0").classes == 5


@pytest.mark.parametrize("wrong", [True, 1.5, ["logits"], {"logits"}])
def test_what_is_no_choice_is_refused_at_once(wrong):
    with pytest.raises(UsageError, match="by its name, its index or a function"):
        Network(TwoHeads(Pair), spec=SPEC, output=wrong, labels=("a", "b"))


@pytest.mark.parametrize("wrong", ["boxes", 2, "2", "0.0", "aux.x", "", "."])
def test_an_output_that_is_not_there_is_an_error_that_lists_those_there_are(wrong):
    with pytest.raises(UsageError, match=r"no output .* of custom: it gives a tuple of \[0\] \(1, 3\) and \[1\]"):
        Network(TwoHeads(lambda a, b: (a, b)), spec=SPEC, output=wrong)
    with pytest.raises(UsageError, match="it gives a single tensor"):
        Network(TwoHeads(lambda a, b: a), spec=SPEC, output=wrong)


def test_a_wrong_choice_is_an_error_before_any_image_whatever_else_is_given():
    with pytest.raises(UsageError, match="no output 'boxes'"):
        Network(TwoHeads(Pair), spec=SPEC, output="boxes", labels=("a", "b", "c"))


def test_a_function_that_fails_is_named_with_what_it_was_given():
    with pytest.raises(ModelError, match=r"raises KeyError: 'x'; it is given a dict of 'y' \(1, 3\)"):
        Network(TwoHeads(lambda a, b: {"y": a}), spec=SPEC, output=lambda output: output["x"])


REFUSED = {
    r"a map of the shape \(1, 3, 5, 5\): it segments, with scores for each pixel .* pools them": lambda a, b: {
        "out": a[:, :, None, None].expand(-1, -1, 5, 5)
    },
    r"'boxes', 'labels' and 'scores' for each image: it detects objects": lambda a, b: [
        {"boxes": a, "labels": a, "scores": a} for _ in a
    ],
    r"training losses": lambda a, b: {"loss_classifier": a.sum(), "loss_box_reg": a.sum()},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_networks_that_segment_or_detect_are_refused_with_the_reason(reason):
    with pytest.raises(ModelError, match=reason) as caught:
        Network(TwoHeads(REFUSED[reason]), spec=SPEC)
    assert "\n" not in str(caught.value)


def test_a_segmentation_is_explained_by_a_function_that_pools_its_scores():
    def segmenting(a, b):
        return {"out": a[:, :, None, None].expand(-1, -1, 5, 5), "aux": b}

    network = Network(TwoHeads(segmenting), spec=SPEC, output=lambda output: output["out"].mean((2, 3)))
    torch.testing.assert_close(network(PIXELS), Network(TwoHeads(lambda a, b: a), spec=SPEC)(PIXELS))
