"""A network of one logit is fooled by bringing its sigmoid across one half."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import cnnviz
from cnnviz.adversarial.objective import class_names, predictions_of
from cnnviz.network.lenet import LeNet5
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec


@pytest.fixture
def network() -> Network:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 36, 1))
    return Network(module, labels=("tumor",), spec=InputSpec(size=6, fixed=True))


@pytest.fixture
def pixels(network) -> torch.Tensor:
    """One picture on each side of the boundary."""
    drawn = torch.rand(40, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2
    chances = network(drawn).sigmoid()[:, 0]
    return drawn[[int(chances.argmax()), int(chances.argmin())]]


def chance(network, pixels) -> list[float]:
    return network(pixels).sigmoid()[:, 0].tolist()


def test_its_classes_are_the_class_and_its_negation(network, pixels):
    yes, no = chance(network, pixels)
    assert yes > 0.5 > no
    assert class_names(network) == ("tumor", "not tumor")
    assert predictions_of(network, pixels) == [
        (0, "tumor", pytest.approx(yes)),
        (1, "not tumor", pytest.approx(1 - no)),
    ]


@pytest.mark.parametrize(
    "attack",
    [
        lambda net, x: cnnviz.fgsm(net, x, 0.1),
        lambda net, x: cnnviz.iterative_fgsm(net, x, 0.1),
        lambda net, x: cnnviz.iterative_fgsm(net, x, 0.1, target=torch.tensor([1, 0])),
        cnnviz.deepfool,
        lambda net, x: torch.cat(
            [cnnviz.fooling_image(net, x[:1], "not tumor"), cnnviz.fooling_image(net, x[1:], "tumor")]
        ),
    ],
)
def test_attacks_cross_one_half(network, pixels, attack):
    yes, no = chance(network, attack(network, pixels))
    assert yes < 0.5 < no


@pytest.mark.parametrize("method", ["gradient", "deepfool"])
def test_one_perturbation_for_pictures_of_one_side(network, pixels, method):
    some = pixels[:1].repeat(4, 1, 1, 1)
    found = cnnviz.universal_perturbation(network, some, 0.2, method=method, passes=5)
    assert cnnviz.fooling_rate(network, some, found) == 1


def test_the_command_and_its_file(run_cnnviz, samples, tmp_path):
    torch.manual_seed(0)
    torch.save(LeNet5(num_classes=1, channels=3).state_dict(), tmp_path / "one.pth")
    (tmp_path / "labels.txt").write_text("tumor\n")
    net = ("-m", "lenet5", "-w", "one.pth", "--labels", "labels.txt")
    said = json.loads(run_cnnviz("classify", samples / "coffee.png", *net, "--json").stdout)["predictions"]
    assert [each["label"] for each in said] == ["tumor"]
    assert 0 < said[0]["probability"] < 1
    result = run_cnnviz("fool", samples / "coffee.png", *net, "-e", 60, "--small", "--raw", "-o", "out.png", "--json")
    record = json.loads(result.stdout)
    after = json.loads(run_cnnviz("classify", "out.png", *net, "--json").stdout)["predictions"][0]["probability"]
    own = after if record["after"]["label"] == "tumor" else 1 - after
    assert record["after"]["probability"] == pytest.approx(own, abs=1e-5)
    assert record["success"] == ((after > 0.5) != (said[0]["probability"] > 0.5))
