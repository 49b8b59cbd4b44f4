"""Checkpoints of timm's networks: wrapped, with other heads, and named by the file itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import cnnviz
from cnnviz.errors import ModelError

timm = pytest.importorskip("timm")

NAMES = ["cat", "cup", "rocket"]


@pytest.fixture(scope="module")
def module() -> nn.Module:
    torch.manual_seed(1)
    return timm.create_model("resnet10t", num_classes=3).eval()


def agree(network: cnnviz.Network, module: nn.Module) -> None:
    pixels = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(pixels), module(network.normalize(pixels)), rtol=1e-3, atol=1e-4)


def test_timms_own_checkpoints_say_what_they_are(tmp_path: Path, module: nn.Module):
    state, averaged = module.state_dict(), dict(module.state_dict())
    content = {"arch": "resnet10t", "state_dict": state, "state_dict_ema": averaged, "class_names": NAMES, "epoch": 3}
    torch.save(content, tmp_path / "last.pth.tar")
    network = cnnviz.load_network(weights=tmp_path / "last.pth.tar", device="cpu")
    assert (network.name, network.labels) == ("timm/resnet10t", tuple(NAMES))
    assert "'state_dict' was taken" in network.weights.remarks[0]
    agree(network, module)


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto", "mobilenetv3_small_050"])
def test_heads_of_timms_networks_are_rebuilt(tmp_path: Path, name: str):
    torch.manual_seed(1)
    module = timm.create_model(name, num_classes=3).eval()
    path = module.pretrained_cfg["classifier"]
    parent, _, last = path.rpartition(".")
    width = module.get_submodule(path).in_features
    setattr(module.get_submodule(parent), last, nn.Sequential(nn.Linear(width, 8), nn.GELU(), nn.Linear(8, 5)))
    torch.save({f"model.{key}": tensor for key, tensor in module.state_dict().items()}, tmp_path / "my.pth")
    network = cnnviz.load_network(
        f"timm/{name}", weights=tmp_path / "my.pth", device="cpu", head_activation="gelu", labels=list("abcde")
    )
    assert network.weights.checkpoint.head == f"Linear {width}→8, GELU, Linear 8→5"
    agree(network, module.eval())


def test_a_network_of_timm_without_a_classifier_gives_features(tmp_path: Path, module: nn.Module):
    state = {key: tensor for key, tensor in module.state_dict().items() if not key.startswith("fc.")}
    torch.save(state, tmp_path / "my.pth")
    network = cnnviz.load_network("timm/resnet10t", weights=tmp_path / "my.pth", device="cpu")
    pixels = torch.rand(1, 3, 64, 64)
    assert cnnviz.embed_images(network, pixels).shape == (1, 512)
    with pytest.raises(ModelError, match="holds no classifier"):
        network.predict(pixels)
