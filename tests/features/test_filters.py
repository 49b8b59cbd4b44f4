"""Kernels and feature maps as they are in the network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.features.filters import first_convolution
from cnnviz.network.loading import load_meta_network
from cnnviz.network.network import Network


def test_first_layer_kernels_in_colour_about_grey(squeezenet):
    found = cnnviz.filter_grid(squeezenet)
    weights = squeezenet.module.features[0].weight
    assert (found.layer, found.shape, found.color) == ("features.0", (64, 3, 3, 3), True)
    own = weights.abs().amax(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(found.tiles, weights / own / 2 + 0.5)
    assert found.tiles.min() >= 0 and found.tiles.max() <= 1
    assert (found.tiles.flatten(1) - 0.5).abs().amax(dim=1) == pytest.approx([0.5] * 64, abs=1e-6)


def test_a_shared_scale_keeps_weak_kernels_weak(squeezenet):
    shared = cnnviz.filter_grid(squeezenet, shared_scale=True).tiles
    weights = squeezenet.module.features[0].weight
    torch.testing.assert_close(shared, weights / weights.abs().max() / 2 + 0.5)


def test_deeper_kernels_in_grey_input_by_output(squeezenet):
    found = cnnviz.filter_grid(squeezenet, "fire3/expand3x3")
    assert (found.shape, found.color) == ((64, 16, 3, 3), False)
    weights = squeezenet.module.features[4].expand3x3.weight
    torch.testing.assert_close(found.tiles[5, 7], weights[5, 7] / weights[5, 7].abs().max() / 2 + 0.5)


def test_kernels_of_zeros_are_grey():
    network = Network(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten()), labels=("a",))
    network.module[0].weight.data.zero_()
    assert (cnnviz.filter_grid(network).tiles == 0.5).all()


def test_what_has_no_kernels_names_what_has(squeezenet):
    with pytest.raises(UsageError, match=r"'fire4' is no convolution .* try features\.6\.squeeze, features\.6\.expand"):
        cnnviz.filter_grid(squeezenet, "fire4")
    with pytest.raises(UsageError, match="no layer called 'conv99'"):
        cnnviz.filter_grid(squeezenet, "conv99")
    with pytest.raises(UsageError, match="has no convolution"):
        cnnviz.filter_grid(Network(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), labels=("a", "b")))


@pytest.mark.parametrize(
    ("name", "layer"), [("alexnet", "features.0"), ("resnet18", "conv1"), ("lenet5", "features.conv1")]
)
def test_the_first_convolution(name, layer):
    assert first_convolution(load_meta_network(name)) == layer


def test_maps_ranked_by_mean_magnitude(squeezenet, chelsea):
    found = cnnviz.activation_grid(squeezenet, chelsea, "conv1")
    maps = squeezenet.features(chelsea, ["conv1"])["conv1"][0]
    torch.testing.assert_close(found.maps, maps)
    torch.testing.assert_close(found.strengths, maps.abs().mean(dim=(1, 2)))
    assert (found.strengths[found.order].diff() <= 0).all()
    torch.testing.assert_close(found.mean_strength, maps.abs().mean(dim=0))
    assert found.signed
    assert not cnnviz.activation_grid(squeezenet, chelsea, "relu1").signed


def test_vectors_and_several_pictures_are_refused(squeezenet, chelsea):
    with pytest.raises(UsageError, match=r"is no map \(1000\)"):
        cnnviz.activation_grid(squeezenet, chelsea, "flatten")
    with pytest.raises(UsageError, match="one image at a time, not 2"):
        cnnviz.activation_grid(squeezenet, torch.cat([chelsea, chelsea]), "fire5")


def test_the_old_name_of_color_works_with_a_warning(squeezenet):
    found = cnnviz.filter_grid(squeezenet)
    with pytest.warns(DeprecationWarning, match=r"FilterGrid\.color"):
        assert found.colour is found.color


class Functional(nn.Module):
    """A convolution that is a function."""

    def __init__(self):
        super().__init__()
        self.kernels = nn.Parameter(torch.randn(4, 3, 3, 3))

    def forward(self, x):
        return torch.conv2d(x, self.kernels).mean((2, 3))


def test_kernels_of_exported_and_functional_convolutions():
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, stride=2), nn.ReLU(), nn.Conv2d(4, 2, 3, bias=False)).eval()
    module.append(nn.Flatten())
    program = torch.export.export(module, (torch.rand(1, 3, 16, 16),))
    network = Network(program)
    for layer in ("0", "2"):
        assert torch.equal(
            cnnviz.filter_grid(network, layer).tiles, cnnviz.filter_grid(Network(module, size=16), layer).tiles
        )
    with pytest.raises(UsageError, match=r"'1' is no convolution .* try 0, 2"):
        cnnviz.filter_grid(network, "1")
    functional = Functional()
    weights = functional.kernels.detach()
    found = cnnviz.filter_grid(Network(functional, size=16)).tiles
    torch.testing.assert_close(found, weights / weights.abs().amax((1, 2, 3), keepdim=True) / 2 + 0.5)
