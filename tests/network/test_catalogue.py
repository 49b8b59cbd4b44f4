"""Every network of the catalogue, from a file of random weights: its layers, its logits, its classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.network import architecture, catalogue, own_weights
from cnnviz.network.checkpoint import Checkpoint
from cnnviz.network.fitting import load_into
from cnnviz.network.loading import load_meta_network

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
    for parameter in module.parameters():
        if not parameter.any():  # the head and the class token of a ViT
            parameter.normal_(0, 0.1)
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
    """Without memory or values; at torchvision's smallest image too."""
    options = {"aux_logits": False} if name in TRANSFORMING else {}
    with architecture.ParametersOnMeta():
        state = theirs(name, **options).state_dict()
    module = architecture.build_on_meta(name, CLASSES)
    load_into(module, state, "The file")
    assert all(tensor.shape == state[key].shape for key, tensor in module.state_dict().items())
    least = catalogue.entry(name).min_size
    network = load_meta_network(name)
    assert network.layer_table((least, least))[-1].shape == (1000,)
    listed = run_cnnviz("layers", "-m", name, "--json")
    assert listed.exit_code == 0, listed.output
    assert len(listed.stdout.splitlines()) == len(network.layer_table())


@pytest.mark.parametrize("name", ["mnasnet0_5", "mnasnet1_3", "regnet_x_400mf"])
def test_checkpoints_that_lost_their_versions_load(name: str, tmp_path: Path):
    """Prefixed, of safetensors, and without the counters that files before torch 0.4 lack."""
    from safetensors.torch import save_file

    module = shaken(theirs(name))
    state = module.state_dict()
    averaged = {f"ema.{key}": torch.zeros_like(tensor) for key, tensor in state.items() if not key.endswith("bias")}
    torch.save({"state_dict": averaged | {f"module.{k}": v for k, v in state.items()}}, tmp_path / "wrapped.pth")
    torch.save({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}, tmp_path / "old.pth")
    save_file(state, tmp_path / "safe.safetensors")
    pixels = torch.rand(1, 3, 64, 64)
    for path in tmp_path.iterdir():
        network = cnnviz.load_network(name, weights=path, device="cpu", precision="fp32")
        with torch.no_grad():
            torch.testing.assert_close(network(pixels), module(network.normalize(pixels)), rtol=1e-3, atol=1e-6)
        assert not any(tensor.is_meta for tensor in network.module.state_dict().values())


def test_mnasnets_of_the_first_version_load(tmp_path: Path):
    """torchvision 0.4 did not narrow the stem."""
    module = theirs("mnasnet0_5")
    with pytest.warns(UserWarning, match="previous version"):
        module._load_from_state_dict({}, "", {"version": 1}, True, [], [], [])
    shaken(module)
    assert module.layers[0].out_channels == 32
    torch.save(dict(module.state_dict()), tmp_path / "old.pth")
    network = cnnviz.load_network("mnasnet0_5", weights=tmp_path / "old.pth", device="cpu", precision="fp32")
    pixels = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(pixels), module(network.normalize(pixels)), rtol=1e-3, atol=1e-6)


def test_weights_that_have_features_only_serve_for_those(tmp_path: Path, monkeypatch, run_cnnviz, samples: Path):
    """torchvision's VGG-16 for style has a classifier of NaN."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    published = catalogue.entry("vgg16").published("IMAGENET1K_FEATURES")
    published.path.parent.mkdir(parents=True)
    state = architecture.build_on_meta("vgg16", 1000).state_dict()
    nan = torch.tensor(float("nan"))
    state = {
        key: nan.expand(tensor.shape) if key.startswith("classifier") else torch.randn(tensor.shape) / 30
        for key, tensor in state.items()
    }
    torch.save({}, published.path)  # half a gigabyte, were it whole
    monkeypatch.setattr(own_weights, "read_checkpoint", lambda path, own=False, key=None: Checkpoint(state))
    options = ("-m", "vgg16", "-w", "IMAGENET1K_FEATURES", "--size", 64)
    run = run_cnnviz("activations", samples / "coffee.png", *options, "--layer", "relu3_3", "--json")
    assert run.exit_code == 0, run.stderr
    assert "has no classifier" in run.stderr
    run = run_cnnviz("classify", samples / "coffee.png", *options)
    assert run.exit_code == 3
    assert "classifier" in run.stderr


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "googlenet", "mobilenet_v3_small"])
def test_checkpoints_for_gray_pictures_load(name: str, tmp_path: Path):
    """As people make them, with another first convolution; how they were normalized only they know."""
    module = theirs(name)
    module.transform_input = False
    first = next(part for part in module.modules() if isinstance(part, nn.Conv2d))
    first.weight = nn.Parameter(first.weight.detach()[:, :1].clone())
    first.in_channels = 1
    torch.save(shaken(module).state_dict(), tmp_path / "gray.pth")
    with pytest.raises(UsageError, match="take gray images"):
        cnnviz.load_network(name, weights=tmp_path / "gray.pth")
    options = {"mean": (0.4,), "std": (0.3,), "device": "cpu", "precision": "fp32"}
    network = cnnviz.load_network(name, weights=tmp_path / "gray.pth", **options)
    pixels = torch.rand(1, 3, 64, 64)
    gray = (0.299 * pixels[:, :1] + 0.587 * pixels[:, 1:2] + 0.114 * pixels[:, 2:] - 0.4) / 0.3
    with torch.no_grad():
        found, expected = network(pixels), module(gray)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
