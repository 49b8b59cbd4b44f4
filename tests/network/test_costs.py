"""Parameters and multiply-adds against published values, fvcore, and counts by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.convnext import LayerNorm2d

from cnnviz.network import catalogue
from cnnviz.network.layers import Layer
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec

FAMILIES = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "mnasnet0_5"),
    *("mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5"),
    *("squeezenet1_1", "vgg11_bn"),
)
OTHERS = [name for name in catalogue.names() if name not in (*FAMILIES, "lenet5")]


@pytest.mark.parametrize("name", [*FAMILIES, *(pytest.param(name, marks=pytest.mark.nightly) for name in OTHERS)])
def test_the_catalogues_networks_have_the_published_sums(name):
    """As torchvision publishes them with its weights: by fvcore, without auxiliary classifiers."""
    from torchvision.models import get_model_weights

    from cnnviz.network.loading import load_meta_network

    network, weights = load_meta_network(name), get_model_weights(name).DEFAULT
    side = weights.transforms.keywords["crop_size"]
    rows = network.layer_table((side, side))
    used = sum(p.numel() for n, p in network.module.named_parameters() if not n.startswith(("aux1", "aux2", "AuxLog")))
    assert sum(row.parameters for row in rows) == used
    found = sum(row.macs or 0 for row in rows) + macs_of_positions(network.module)
    assert found / 1e9 == pytest.approx(weights.meta["_ops"], abs=5.1e-4)
    assert all(row.macs is not None for row in rows)


def macs_of_positions(module: nn.Module) -> int:
    """Of the networks that Swin v2 computes its position biases with: the published sums hold them.

    They depend on weights alone, and are no layers.
    """
    tables = [part for part in module.modules() if hasattr(part, "cpb_mlp")]
    linear = [(part, table) for table in tables for part in table.cpb_mlp if isinstance(part, nn.Linear)]
    return sum(part.weight.numel() * table.relative_coords_table[..., 0].numel() for part, table in linear)


def wrapped(module: nn.Module, size: int = 16) -> Network:
    spec = InputSpec(size=size, mean=(0.0,) * 3, std=(1.0,) * 3)
    return Network(module, labels=tuple(map(str, range(5))), spec=spec)


def rows_of(module: nn.Module, size: int = 16) -> dict[str, Layer]:
    return {row.name: row for row in wrapped(module, size).layer_table()}


@pytest.mark.parametrize("name", ["swin_t", "vit_b_16"])
def test_networks_with_attention_have_the_published_sums(name):
    import torchvision

    module = getattr(torchvision.models, name)()
    rows = rows_of(module, 224).values()
    published = torchvision.models.get_model_weights(name).IMAGENET1K_V1.meta
    assert sum(row.parameters for row in rows) == published["num_params"]
    assert sum(row.macs or 0 for row in rows) / 1e9 == pytest.approx(published["_ops"], abs=5.1e-4)


def test_another_counter_agrees():
    """On values, over the whole module, without what depends on weights alone."""
    module = Odd().eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(1, 3, 16, 16))
    weights_alone = 5 * 2 * 4
    total = sum(row.macs or 0 for row in rows_of(module).values())
    assert total + weights_alone == counter.get_total_flops() // 2


class Standardized(nn.Conv2d):
    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class OwnLinear(nn.Linear):
    def forward(self, x):
        return x @ self.weight.T + self.bias


class Functional(nn.Module):
    """Functions of parameters of its own, and a scale for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.up = nn.Parameter(torch.rand(8, 2, 3, 3)), nn.Parameter(torch.rand(8, 4, 2, 2))
        self.shift = nn.Parameter(torch.rand(8))
        self.down, self.raise_ = nn.Parameter(torch.rand(2, 4)), nn.Parameter(torch.rand(5, 2))
        self.scale = nn.Parameter(torch.rand(4, 1, 1))

    def forward(self, x):
        x = F.conv2d(x, self.kernel, self.shift, padding=1, groups=2)
        x = self.scale * F.conv_transpose2d(x, self.up, stride=2)
        return F.linear(x.mean((2, 3)), self.raise_ @ self.down)


class Odd(nn.Module):
    """Layers written in many ways, one after another."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = Standardized(3, 4, 3, padding=1, bias=False), LayerNorm2d(4)
        self.shared = nn.Conv2d(4, 4, 1)
        self.again = self.shared
        self.normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3, padding=1))
        self.body, self.head = Functional(), OwnLinear(5, 5)

    def forward(self, x):
        return self.head(self.body(self.normed(self.again(self.shared(self.norm(self.stem(x)))))))


def test_layers_by_hand_however_they_are_written():
    module, places = Odd(), 16 * 16
    rows = rows_of(module)
    expected = {
        "stem.conv2d": (3 * 4 * 9, 3 * 4 * 9 * places),
        "norm.layer_norm": (8, 0),
        "shared": (4 * 4 + 4, 16 * places),
        "shared_1": (0, 16 * places),
        "normed": (4 * 4 * 9 + 4 + 4, 4 * 4 * 9 * places),
        "body.conv2d": (8 * 2 * 9 + 8, 8 * 2 * 9 * places),
        "body.conv_transpose2d": (8 * 4 * 4, 8 * 4 * 4 * places),
        "body.mul": (4, 0),
        "body.linear": (2 * 4 + 5 * 2, 5 * 4),
        "head.matmul": (25, 25),
        "head.add": (5, 0),
    }
    assert {name: (row.parameters, row.macs) for name, row in rows.items() if row.parameters or row.macs} == expected
    assert sum(row.parameters for row in rows.values()) == sum(p.numel() for p in module.parameters())
    assert rows["body.conv2d"].kind == "conv2d"
    assert rows["stem.conv2d"].receptive_field.size == (3, 3)


def test_weights_of_a_layer_that_gives_several_tensors_are_the_next_ones():
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.attend = nn.Conv2d(3, 8, 4, 4), nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            x = self.one(x).flatten(2).transpose(1, 2)
            return self.attend(x, x, x)[0].mean(1)[:, :5]

    module = Attending()
    rows = rows_of(module)
    assert rows["getitem"].parameters == sum(p.numel() for p in module.attend.parameters())
    assert rows["getitem"].macs == 16 * 8 * 32 + 2 * 16 * 16 * 8  # four projections, and two products of tokens


def test_multiply_adds_that_cannot_be_told_are_unknown(run_cnnviz):
    class Rare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 4, 3), nn.Bilinear(4, 4, 5)

        def forward(self, x):
            x = self.one(x).mean((2, 3))
            return self.two(x, x)

    rows = rows_of(Rare())
    assert (rows["one"].macs, rows["two"].macs) == (14 * 14 * 4 * 27, None)
    assert rows["two"].parameters == 4 * 4 * 5 + 5


@torch.fx.wrap
def with_numpy(x):
    return x + torch.from_numpy(x.detach().numpy().copy())


class NeedsValues(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 5, 3)

    def forward(self, x):
        return with_numpy(self.one(x)).mean((2, 3))


def test_a_module_that_needs_values_is_listed_by_a_real_pass():
    rows = rows_of(NeedsValues())
    assert (rows["with_numpy"].shape, rows["with_numpy"].sees) == ((5, 14, 14), "unknown")
    assert (rows["one"].parameters, rows["one"].macs) == (5 * 27 + 5, None)


def test_looking_at_the_table_leaves_hooked_weights_alone():
    with pytest.warns(FutureWarning):
        module = nn.Sequential(nn.utils.weight_norm(nn.Conv2d(3, 5, 3)), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = wrapped(module)
    before = network.body[0].weight
    assert network.layer_table()[0].macs == 5 * 27 * 14 * 14
    assert torch.equal(network.body[0].weight, before)


def test_the_command_shows_what_is_known(run_cnnviz):
    import json

    shown = run_cnnviz("layers", "-m", "convnext_tiny", "--find", "features.1.0").stdout
    lines = {
        line.split()[0]: line.split()
        for line in shown.splitlines()
        if line.startswith(" features.1.0") or "1.0." in line
    }
    assert any("384×56×56" in line for line in lines.values())
    told = run_cnnviz("layers", "-m", "regnet_y_400mf", "--json").stdout.splitlines()
    rows = {row["layer"]: row for row in map(json.loads, told)}
    assert rows["stem.0"]["sees"] == "window"
    assert rows["stem.0"]["layout"] == "NCHW"
    assert rows["fc"]["sees"] == "all"
    assert rows["fc"]["layout"] is None
