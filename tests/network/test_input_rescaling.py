"""``transform_input`` of GoogLeNet and Inception v3, and the remark on what is assumed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.network import architecture, catalogue

SIDE = 96


@pytest.fixture(scope="module", params=["googlenet", "inception_v3"])
def own(request, tmp_path_factory) -> tuple[str, Path, torch.nn.Module]:
    """A network's name, a file of weights with classes of their own, and torchvision's module with them."""
    get_model = pytest.importorskip("torchvision.models").get_model
    torch.manual_seed(0)
    module = get_model(request.param, weights=None, num_classes=4, init_weights=False, transform_input=False).eval()
    with torch.no_grad():  # logits that hang on the picture, which a random network's hardly do
        module.fc.bias.sub_(module(torch.zeros(1, 3, SIDE, SIDE))[0])
        scale = 5 / module(torch.rand(1, 3, SIDE, SIDE)).std()
        module.fc.weight.mul_(scale)
        module.fc.bias.mul_(scale)
    path = tmp_path_factory.mktemp("own") / "own.pth"
    torch.save(module.state_dict(), path)
    return request.param, path, module


@pytest.mark.parametrize(
    ("options", "rescales", "says"),
    [
        ({}, True, True),
        ({"mean": (0.5,) * 3, "std": (0.5,) * 3}, False, False),
        ({"std": (0.2,) * 3}, False, False),
        ({"transform_input": False}, False, False),
        ({"transform_input": True, "mean": (0.5,) * 3}, True, False),
    ],
)
def test_a_file_is_taken_as_it_was_trained(own, options, rescales: bool, says: bool):
    name, path, module = own
    network = cnnviz.load_network(name, weights=path, device="cpu", precision="fp32", **options)
    pixels = torch.rand(1, 3, SIDE, SIDE)
    answers = {}
    for module.transform_input in (True, False):
        with torch.no_grad():
            answers[module.transform_input] = module(network.normalize(pixels))
            found = network(pixels)
    assert not torch.allclose(answers[True], answers[False], rtol=0.05, atol=0.05)
    torch.testing.assert_close(found, answers[rescales], rtol=1e-3, atol=1e-3)
    assert network.weights.transform_input is rescales
    assert bool(network.weights.remark) is says


def test_published_weights_rescale_in_silence(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    published = catalogue.entry("googlenet").default
    published.path.parent.mkdir(parents=True)
    torch.save(architecture.build_random("googlenet", 1000, seed=0).state_dict(), published.path)
    for options in ({}, {"mean": (0.5,) * 3}):
        network = cnnviz.load_network("googlenet", device="cpu", **options)
        assert network.module.transform_input is True
        assert "transform_input" not in network.weights.remark
    assert not cnnviz.load_network("googlenet", transform_input=False, device="cpu").module.transform_input


def test_the_command_has_the_option_and_the_note(own, run_cnnviz, samples):
    name, path, _ = own
    command = ("classify", samples / "coffee.png", "-m", name, "-w", path, "--size", SIDE, "--precision", "fp32")
    assumed = run_cnnviz(*command, "--json")
    assert assumed.stderr.count("--no-transform-input") == 1
    facts = json.loads(assumed.stdout)
    assert facts["transform_input"] is True
    assert "--no-transform-input" in facts["note"]
    told = run_cnnviz(*command, "--no-transform-input", "--json")
    assert told.stderr == ""
    found = json.loads(told.stdout)
    assert (found["transform_input"], "note" in found) == (False, False)
    assert found["parameters"]["transform_input"] is False
    assert found["predictions"] != facts["predictions"]
    again = json.loads(run_cnnviz(*command, "--transform-input", "--json").stdout)
    assert again["predictions"] == facts["predictions"]


def test_other_networks_have_no_such_thing(run_cnnviz, samples):
    with pytest.raises(UsageError, match="googlenet and inception_v3, not for resnet18"):
        cnnviz.load_network("resnet18", weights="random", transform_input=False)
    run = run_cnnviz("classify", samples / "coffee.png", "-m", "squeezenet1_1", "--transform-input")
    assert run.exit_code == 2
    assert "transform_input" not in json.loads(
        run_cnnviz("classify", samples / "coffee.png", "-m", "squeezenet1_1", "--json").stdout
    )
