"""Pictures as vectors: the classifier's own input, whatever the architecture."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.features.embeddings import feature_layer
from cnnviz.network.loading import load_meta_network
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("squeezenet1_1", "features.12.cat"),
        ("alexnet", "classifier.5"),
        ("vgg11", "classifier.4"),
        ("resnet18", "avgpool"),
        ("googlenet", "avgpool"),
        ("densenet121", "adaptive_avg_pool2d"),
        ("lenet5", "classifier.relu4"),
    ],
)
def test_the_layer_before_the_classifier(name: str, layer: str):
    assert feature_layer(load_meta_network(name)) == layer


class Classifier(nn.Module):
    """Keeps what its last layer was given."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.drop = nn.Dropout()
        self.last = nn.Linear(6, 4)

    def forward(self, x):
        return self.last(self.drop(torch.flatten(self.body(x), 1)))


def test_vectors_are_what_the_classifier_is_given():
    torch.manual_seed(0)
    network = Network(Classifier(), spec=InputSpec(size=16)).to(torch.float64)
    pixels = torch.rand(3, 3, 16, 16)
    vectors = cnnviz.embed_images(network, pixels)
    logits = vectors @ network.body.last.weight.T + network.body.last.bias
    torch.testing.assert_close(logits, network(pixels))


def test_maps_are_averaged_over_space(squeezenet, chelsea):
    found = cnnviz.embed_images(squeezenet, chelsea, "fire5")
    maps = squeezenet.features(chelsea, ["fire5"])["fire5"]
    torch.testing.assert_close(found, maps.mean(dim=(2, 3)))
    assert cnnviz.embed_images(squeezenet, chelsea, "flatten").shape == (1, 1000)


def test_the_network_is_left_as_it_was(squeezenet, chelsea):
    before = {name: tensor.clone() for name, tensor in squeezenet.module.state_dict().items()}
    cnnviz.embed_images(squeezenet, chelsea)
    assert all(torch.equal(tensor, before[name]) for name, tensor in squeezenet.module.state_dict().items())


def test_unknown_layers_and_networks_without_a_classifier(squeezenet, chelsea):
    with pytest.raises(UsageError, match="no layer called 'fire99'"):
        cnnviz.embed_images(squeezenet, chelsea, "fire99")
    pooling = Network(nn.Sequential(nn.AvgPool2d(2), nn.Flatten()), labels=("a",))
    with pytest.raises(UsageError, match="no classifier"):
        feature_layer(pooling)


def test_the_classifier_may_be_a_function_of_weights():
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 3)
            self.weight = nn.Parameter(torch.rand(5, 6))

        def forward(self, x):
            x = self.two(self.one(x).relu()).relu().mean((2, 3))
            return nn.functional.linear(nn.functional.normalize(x), nn.functional.normalize(self.weight))

    network = Network(Functional(), labels=tuple("abcde"))
    assert feature_layer(network) == "normalize"
    assert cnnviz.embed_images(network, torch.rand(2, 3, 12, 12)).shape == (2, 6)
