"""Default layers and papers' names of networks, inside wrappers too."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import cnnviz
from cnnviz.network import architecture, default_layers
from cnnviz.network.architecture_detection import find_architecture
from cnnviz.network.catalogue import IMAGENET_MEAN, IMAGENET_STD
from cnnviz.network.default_layers import (
    dream_layers,
    evenly_spaced_layers,
    inversion_layers,
    last_spatial_layer,
    style_layers,
)
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec


class Normalize(nn.Module):
    """A normalization before the network."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))

    def forward(self, x):
        return (x - self.mean) / 0.225


class Scaled(nn.Module):
    """ImageNet's normalization."""

    def forward(self, x):
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        return (x - mean) / std


class Lightning(nn.Module):
    """A module of a training framework: the network is a part of it, beside a loss."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.loss = model, nn.CrossEntropyLoss()

    def forward(self, x):
        return self.model(x)


class WithHead(nn.Module):
    """A backbone without its classifier, and a head of the user's."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        backbone.fc = nn.Identity()
        self.backbone, self.head = backbone, nn.Sequential(nn.Linear(512, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x):
        return self.head(self.backbone(x))


WRAPPERS = {
    "1.": lambda net: nn.Sequential(Normalize(), net),
    "": nn.DataParallel,
    "1.module.": lambda net: nn.Sequential(Normalize(), nn.DataParallel(net)),
    "model.": Lightning,
    "1.model.": lambda net: nn.Sequential(nn.BatchNorm2d(3), Lightning(net)),
}


def wrapped(name: str, path: str) -> tuple[Network, Network]:
    """A network as it is, and inside a wrapper; small images, no values."""
    side = 96
    plain, inner = (architecture.build_on_meta(name, 10) for _ in range(2))
    spec = InputSpec(side)
    labels = tuple("abcdefghij")
    return Network(plain, name, labels, spec), Network(WRAPPERS[path](inner).to("meta"), "custom", labels, spec)


OTHERS = ("squeezenet1_1", "resnet18", "vgg11_bn")


@pytest.mark.parametrize(("name", "path"), [("alexnet", path) for path in WRAPPERS] + [(name, "1.") for name in OTHERS])
def test_a_wrapper_changes_no_default(name: str, path: str):
    plain, inside = wrapped(name, path)

    def same(found, expected) -> None:
        places = [inside.layers.name_of(inside.layers.node(layer)) for layer in found]
        assert places == [path + plain.layers.name_of(plain.layers.node(layer)) for layer in expected]

    same(dream_layers(inside), dream_layers(plain))
    same(inversion_layers(inside), inversion_layers(plain))
    same(style_layers(inside).style, style_layers(plain).style)
    same(style_layers(inside).content, style_layers(plain).content)
    same(evenly_spaced_layers(inside), evenly_spaced_layers(plain))
    same([last_spatial_layer(inside)], [last_spatial_layer(plain)])


def test_the_network_is_found_by_its_build_not_its_name():
    alexnet = architecture.build_on_meta("alexnet", 10)
    assert find_architecture("custom", alexnet).family == "alexnet"
    assert find_architecture("custom", nn.Sequential(Normalize(), alexnet)).path == "1."
    assert find_architecture("alexnet", nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())).family == "alexnet"
    assert not find_architecture("alexnet", nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())).is_known
    for name in ("vgg16_bn", "googlenet", "inception_v3", "densenet169", "squeezenet1_0", "wide_resnet50_2"):
        family = find_architecture("custom", Lightning(architecture.build_on_meta(name, 10))).family
        assert name.endswith(family) or name.startswith(family) or family == "resnet"


def test_a_name_that_does_not_fit_the_build_is_no_error():
    """``Network(nn.Sequential(Normalize(), alexnet), name="alexnet")`` looked for ``features`` in the wrapper."""
    network = Network(
        nn.Sequential(Normalize(), architecture.build_random("alexnet", 10, 0)), "alexnet", spec=InputSpec(96)
    )
    assert network.layers.name_of(network.layers.node("conv5")) == "1.features.10"
    assert network.layers.name_of(network.layers.node("features.10")) == "1.features.10"
    own = Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "vgg16")
    assert dream_layers(own) == ("1",)
    assert style_layers(own).style == ("1",)


def test_a_head_of_the_users_own_is_no_feature():
    network = Network(WithHead(architecture.build_random("resnet18", 10, 0)), spec=InputSpec(64))
    assert last_spatial_layer(network).startswith("backbone.layer4.1.")
    assert dream_layers(network) == ("layer3",)
    assert all(layer.startswith(("res", "conv", "layer")) for layer in evenly_spaced_layers(network)), (
        evenly_spaced_layers(network)
    )


def test_colors_scaled_and_class_maps_are_not_painted_with():
    """Of an unknown network in a wrapper."""
    body = nn.Sequential()
    body.features = nn.Sequential(nn.Conv2d(3, 4, 5, 2, 2), nn.ELU(), nn.Conv2d(4, 6, 3, 2, 1), nn.ELU())
    body.classifier = nn.Sequential(nn.Conv2d(6, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = Network(nn.Sequential(Normalize(), body), spec=InputSpec(32))
    layers = style_layers(network)
    assert layers.style == ("1.features.1", "1.features.3")
    assert dream_layers(network)[0].startswith("1.features.")
    assert last_spatial_layer(network) == "1.features.3"
    assert not any("classifier" in layer or layer.startswith("0") for layer in evenly_spaced_layers(network))


def test_maps_of_a_wrapped_network_are_its_own(chelsea):
    """Grad-CAM by the last features of the embedded network, not by the class maps behind them."""
    plain = cnnviz.load_network("squeezenet1_1", device="cpu")
    inner = cnnviz.load_network("squeezenet1_1", device="cpu").module
    body = nn.Sequential(Scaled(), nn.DataParallel(inner))
    spec = InputSpec(mean=(0.0,) * 3, std=(1.0,) * 3)
    wrapped = Network(body, spec=spec, labels=plain.labels)
    expected, found = (cnnviz.grad_cam(network, chelsea, 281) for network in (plain, wrapped))
    assert (found - expected).abs().max() <= 1e-3 * expected.max()
    assert wrapped.layers.node("fire9") is wrapped.layers.node("1.module.features.12")


def test_the_last_map_is_looked_for_once_and_again_when_a_layer_is_replaced(monkeypatch):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    network = Network(module)
    passes = []
    found = default_layers.shapes_by_forward
    monkeypatch.setattr(default_layers, "shapes_by_forward", lambda *of: passes.append(1) or found(*of))
    pixels = torch.rand(1, 3, 32, 32)
    assert [last_spatial_layer(network), last_spatial_layer(network, pixels)] == ["1", "1"]
    assert len(passes) == 1
    module[1] = nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 1))
    assert last_spatial_layer(network, pixels) == "1.1"
