"""``explain``: the certificate in the result, the figure, and what it says where no map is to be believed."""

from __future__ import annotations

import pickle

import pytest
import torch

from cnnviz.attribution.registry import METHODS
from cnnviz.network.loading import load_network
from cnnviz.network.network import Network
from cnnviz.pipeline.config import InputConfig
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.tasks.explain import BUDGETS, DECLINED, Explain, reading


class Corner(torch.nn.Module):
    """Whether the detail of a photo's upper left corner is there."""

    def __init__(self, photo: torch.Tensor) -> None:
        super().__init__()
        corner = photo[..., 4:28, 4:28]
        weights = corner - corner.mean((2, 3), keepdim=True)
        self.register_buffer("weights", weights / (weights * corner).sum())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = 10 * ((x[..., 4:28, 4:28] * self.weights).sum((1, 2, 3)) - 0.5)
        return torch.stack((score, -score), 1)


@pytest.fixture(scope="module")
def image(squeezenet, samples):
    return read_image(ImageSource(samples / "chelsea.png"), squeezenet, InputConfig(size=64))


def run(network, image, **settings):
    task = pickle.loads(pickle.dumps(Explain(**settings)))
    (answer,) = task.compute(network, image.pixels)
    return answer, task.render(network, image, answer)


def test_known_evidence_is_certified_and_shown(image):
    network = Network(Corner(image.pixels), labels=("seen", "not seen"), mean=(0.0,) * 3, std=(1.0,) * 3, size=64)
    answer, result = run(network, image, budget="fast")
    found = result.metadata
    assert (found["verdict"], found["target"]["label"]) == ("certified", "seen")
    assert 0 < found["margin"][0] <= found["margin"][1]
    assert found["method"] in METHODS and found["baseline"] in ("random", "smooth-random", "middle", "edges")
    measured = found["measured"]
    assert (len(measured["fills"]), measured["jitters"], measured["steps"]) == (12, 1, BUDGETS["fast"].steps)
    assert set(measured["scores"]) == {found["method"], "random", "smooth-random", "middle", "edges"}
    assert {name: result.recipe[name] for name in ("verdict", "method", "baseline", "margin", "measured")} == {
        name: found[name] for name in ("verdict", "method", "baseline", "margin", "measured")
    }
    assert "guided" in found["refused"], "the network has no ReLU"
    assert DECLINED not in " ".join(result.text)
    top = answer.chosen.flatten().topk(24 * 24).indices
    rows, columns = top // image.pixels.shape[3], top % image.pixels.shape[3]
    assert float(((rows < 32) & (columns < 32)).float().mean()) > 0.6


def test_random_weights_are_declined_and_no_map_is_drawn(image):
    network = load_network("squeezenet1_1", weights="random")
    _, result = run(network, image, budget="fast")
    assert result.metadata["verdict"] == "declined"
    assert result.metadata["reason"] == "the score hardly moves whatever is hidden"
    assert DECLINED in result.text[0]
    certified = Network(Corner(image.pixels), labels=("seen", "not seen"), mean=(0.0,) * 3, std=(1.0,) * 3, size=64)
    assert run(certified, image, budget="fast")[1].image.width > result.image.width, "one tile less"


def test_budgets_name_methods_there_are():
    for budget in BUDGETS.values():
        assert set(budget.methods or METHODS) <= set(METHODS)


def test_a_network_without_gradients_is_explained_by_what_needs_none(image, classifier):
    from cnnviz.network.programs.program import load_program

    network = load_program(classifier("{frames}"), size=16)
    assert {method.name for method in BUDGETS["fast"].chosen(network)} >= {"occlusion", "rise"}
    assert not any(method.needs_gradients for method in BUDGETS["fast"].chosen(network))


def test_the_sentence_of_a_map_that_is_not_there():
    from cnnviz.attribution.metrics.certificate import Certificate, Choice

    found = Certificate(
        False, None, "middle", (0.0, 0.0), 0.0, {}, 0.0, "no method gives a map that shows anything", [], 1,
        Choice({}, {}, []),
    )  # fmt: skip
    assert reading(found, "tabby") == [f"{DECLINED}: no method gives a map that shows anything."]
