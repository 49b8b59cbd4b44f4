"""Every network of the catalogue, from a file of random weights: its layers, its logits, its classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import cnnviz
from cnnviz.network import architecture, catalogue
from cnnviz.network.loading import load_blueprint
from cnnviz.network.weights import load_into

pytest.importorskip("torchvision")

CLASSES = 7
REAL = 150e6
"""Networks of more parameters are built on meta tensors only, which take no memory."""
TRANSFORMING = ("googlenet", "inception_v3")


def names(*daily: str) -> list:
    """All names of torchvision's; those but for ``daily`` are for the exhaustive run."""
    return [pytest.param(name, marks=() if name in daily else pytest.mark.nightly) for name in catalogue.entries()]


def theirs(name: str, **options: object) -> nn.Module:
    """torchvision's own module, side classifiers included, as it is built for published weights."""
    from torchvision.models import get_model

    if name in TRANSFORMING:
        options |= {"transform_input": True, "init_weights": False}
    return get_model(name, weights=None, num_classes=CLASSES, **options)


@torch.no_grad()
def shaken(module: nn.Module) -> nn.Module:
    """The module with random statistics and scales, so that none that is lost goes unnoticed."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
            part.weight.uniform_(0.5, 1.5)
            part.bias.normal_(0, 0.1)
    return module.eval()


@pytest.mark.parametrize("name", names("regnet_y_400mf", "mnasnet0_5", "googlenet"))
def test_logits_are_torchvisions(name: str, tmp_path: Path, run_cnnviz, samples: Path):
    """From a file of the user's with classes of their own."""
    if catalogue.entry(name).default.parameters > REAL:
        pytest.skip("too large for real tensors; see the next test")
    torch.manual_seed(1)
    module, path = shaken(theirs(name)), tmp_path / "my.pth"
    torch.save(module.state_dict(), path)
    network = cnnviz.load_network(name, weights=path, device="cpu", precision="fp32")
    assert network.classes == CLASSES
    side = max(64, catalogue.entry(name).min_size)
    pixels = torch.rand(2, 3, side, side)
    with torch.no_grad():
        found, expected = network(pixels), module(network.normalize(pixels))
    assert 0 < expected.abs().max() < float("inf")
    assert not torch.equal(expected[0], expected[1])
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
    del module, network
    photo = samples / "chelsea.png"
    listed = run_cnnviz("layers", "-m", name, "-w", path, "--size", side, "--json")
    assert json.loads(listed.stdout.splitlines()[-1])["shape"] == [CLASSES]
    classified = run_cnnviz("classify", photo, "-m", name, "-w", path, "--size", side, "--precision", "fp32", "--json")
    assert classified.exit_code == 0, classified.stderr
    path.unlink()


@pytest.mark.parametrize("name", names("regnet_y_400mf", "mnasnet1_3", "inception_v3", "regnet_y_128gf"))
def test_weights_fit_and_layers_are_listed_on_meta_tensors(name: str, run_cnnviz):
    """Without memory or values; at torchvision's smallest picture too."""
    options = {"aux_logits": False} if name in TRANSFORMING else {}
    with architecture.ParametersOnMeta():
        state = theirs(name, **options).state_dict()
    module = architecture.build_on_meta(name, CLASSES)
    load_into(module, state, "The file")
    assert all(tensor.shape == state[key].shape for key, tensor in module.state_dict().items())
    least = catalogue.entry(name).min_size
    network = load_blueprint(name)
    assert network.layer_table((least, least))[-1].shape == (1000,)
    listed = run_cnnviz("layers", "-m", name, "--json")
    assert listed.exit_code == 0, listed.output
    assert len(listed.stdout.splitlines()) == len(network.layer_table())
