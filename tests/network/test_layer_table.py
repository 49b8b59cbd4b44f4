"""Parameters, multiply-adds, activations and receptive fields against the literature and against autograd."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from cnnviz.network.architecture_detection import find_architecture
from cnnviz.network.graph import trace
from cnnviz.network.layers import LayerTable
from cnnviz.network.loading import load_meta_network
from cnnviz.network.network import Network


def rows(name: str, size: int = 224) -> dict:
    return {
        alias: row for row in load_meta_network(name).layer_table((size, size)) for alias in (row.name, *row.aliases)
    }


def test_vgg16_has_the_papers_parameters_and_15_47_giga_multiply_adds():
    network = load_meta_network("vgg16")
    table = network.layer_table()
    assert sum(p.numel() for p in network.module.parameters()) == 138_357_544
    assert sum(row.parameters for row in table) == 138_357_544
    assert sum(row.macs for row in table) == pytest.approx(15.47e9, rel=1e-3)


def test_vgg16_activations_are_those_of_the_cs231n_table():
    """The rows of CS231n's VGG-16 table ("memory"), in its order; together 15.2 M values with the input."""
    kinds = ("Conv2d", "MaxPool2d", "Linear")
    values = [math.prod(row.shape) for row in load_meta_network("vgg16").layer_table() if row.kind in kinds]
    thousands = [
        3211,
        3211,
        803,
        1606,
        1606,
        401,
        803,
        803,
        803,
        201,
        401,
        401,
        401,
        100,
        100,
        100,
        100,
        25,
        4,
        4,
        1,
    ]
    assert [round(v / 1000) for v in values] == thousands
    assert sum(values) + 3 * 224 * 224 == pytest.approx(15.2e6, rel=0.01)


@pytest.mark.parametrize(
    ("model", "parameters", "giga_macs"),
    [
        ("alexnet", 61_100_840, 0.714),
        ("resnet18", 11_689_512, 1.814),
        ("resnet50", 25_557_032, 4.089),
        ("squeezenet1_1", 1_235_496, 0.349),
        ("densenet121", 7_978_856, 2.834),
        ("mobilenet_v2", 3_504_872, 0.301),
    ],
)
def test_cost_of_well_known_networks(model, parameters, giga_macs):
    network = load_meta_network(model)
    assert sum(p.numel() for p in network.module.parameters()) == parameters
    assert sum(row.macs for row in network.layer_table()) / 1e9 == pytest.approx(giga_macs, rel=0.01)


@pytest.mark.parametrize(
    ("model", "layer", "size", "stride"),
    [
        ("alexnet", "conv1", 11, 4),
        ("alexnet", "conv5", 163, 16),
        ("alexnet", "pool5", 195, 32),
        ("vgg16", "conv1_2", 5, 1),
        ("vgg16", "conv5_3", 196, 16),
        ("vgg16", "pool5", 212, 32),
        ("vgg19", "conv5_4", 252, 16),
        ("resnet50", "conv1", 7, 2),
        ("resnet18", "layer4", 435, 32),
        ("squeezenet1_1", "fire2", 15, 4),
    ],
)
def test_published_receptive_fields(model, layer, size, stride):
    field = rows(model)[layer].receptive_field
    assert field.size == (size, size)
    assert field.stride == (stride, stride)


def test_a_position_that_sees_everything_has_no_receptive_field():
    table = rows("resnet18")
    assert table["avgpool"].receptive_field is None
    assert table["fc"].receptive_field is None
    squeeze_and_excitation = load_meta_network("mobilenet_v3_small").layer_table()
    assert squeeze_and_excitation[-8].receptive_field is None


def linear_and_positive(module: nn.Module) -> nn.Module:
    """The network with positive weights, averaging pools and no normalization: every path's gradient is positive."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, nn.Identity())
            elif isinstance(child, nn.MaxPool2d):
                average = nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode)
                setattr(parent, name, average)
    for parameter in module.parameters():
        nn.init.constant_(parameter, 1.0 / max(1, parameter[0].numel()))
    return module.double()


def seen_by(network: Network, layer: str, size: int) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """The box of input pixels with a gradient from the middle position of a layer, and that position."""
    pixels = torch.full((1, 3, size, size), 0.9, dtype=torch.float64, requires_grad=True)
    output = network.features(pixels, [layer])[layer]
    y, x = output.shape[2] // 2, output.shape[3] // 2
    gradient = torch.autograd.grad(output[0, :, y, x].sum(), pixels)[0][0].abs().sum(0)
    ys, xs = torch.nonzero(gradient, as_tuple=True)
    return (int(ys.min()), int(xs.min()), int(ys.max()) + 1, int(xs.max()) + 1), (y, x)


@pytest.mark.parametrize(
    ("model", "layer", "size"),
    [
        pytest.param("resnet50", "layer4.2", 608, marks=pytest.mark.slow),
        ("squeezenet1_1", "fire9", 384),
        ("alexnet", "pool5", 352),
    ],
)
def test_receptive_field_is_what_autograd_measures(model, layer, size):
    """ResNet-50's last block: 427 pixels (torchvision strides in the 3×3 kernels; the paper's 1×1 would give 483)."""
    import cnnviz

    network = cnnviz.load_network(model, weights="random")
    network = Network(linear_and_positive(network.module), name=model, spec=network.spec)
    measured, (y, x) = seen_by(network, layer, size)
    row = next(r for r in network.layer_table((size, size)) if layer in (r.name, *r.aliases))
    assert row.receptive_field.window(y, x) == measured


class Branches(nn.Module):
    """Two paths of unequal reach, joined by concatenation, then a dilated, padded, even-kernelled tail."""

    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Conv2d(3, 2, 1, stride=2)
        self.far = nn.Conv2d(3, 2, 5, stride=2, padding=2)
        self.tail = nn.Conv2d(4, 3, (3, 2), dilation=(2, 1), padding=(2, 1))

    def forward(self, x: Tensor) -> Tensor:
        joined = torch.cat([self.near(x), torch.relu(self.far(x))], 1)
        return nn.functional.max_pool2d(self.tail(joined), 3, stride=2, padding=1)


def test_receptive_field_of_branches_dilation_and_functional_pooling():
    module = Branches().eval()
    table = LayerTable(trace(module), find_architecture("custom", module)).table(3, (64, 64))
    last = table[-1].receptive_field
    assert last.stride == (4, 4)
    # By hand, vertically: pool reaches 1 up and 1 down, tail 2 and 2, far 2 and 2 pixels at stride 2.
    assert (last.low[0], last.high[0]) == (-2 - 2 * (2 + 1), 2 + 2 * (2 + 1))
    assert (last.low[1], last.high[1]) == (-2 - 2 * (1 + 1), 2 + 2 * (0 + 1))
