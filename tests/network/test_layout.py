"""Channels-last layers are returned as maps (N, C, H, W), whatever operation made them so."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import cnnviz
from cnnviz.attribution.guided_backprop import rectified_gradient
from cnnviz.errors import UsageError
from cnnviz.features.activations import activation_grid
from cnnviz.features.embeddings import embed_images
from cnnviz.features.maps import map_layer
from cnnviz.features.top_activations import channel_maxima
from cnnviz.network.default_layers import last_spatial_layer
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec
from cnnviz.synthesis.objectives import Channels, make_activation, make_score
from cnnviz.synthesis.tiling import plan_tiles

CHANNELS_LAST = ["norm", "wide", "act", "narrow"]


class Block(nn.Module):
    """As ConvNeXt's: a depthwise convolution, then layers over the channels, which come last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spread = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm, self.wide, self.act = nn.LayerNorm(channels), nn.Linear(channels, 2 * channels), nn.ReLU()
        self.narrow, self.scale = nn.Linear(2 * channels, channels), nn.Parameter(torch.rand(channels, 1, 1))

    def forward(self, x):
        y = self.spread(x).permute(0, 2, 3, 1)
        y = self.narrow(self.act(self.wide(self.norm(y))))
        return x + self.scale * y.permute(0, 3, 1, 2)


class ChannelsLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.one, self.fc = nn.Conv2d(3, 6, 2, 2), Block(6), nn.Linear(6, 5)

    def forward(self, x):
        return self.fc(self.one(self.stem(x)).mean((2, 3)))


@pytest.fixture
def network() -> Network:
    return wrapped(ChannelsLast())


def wrapped(module: nn.Module, classes: int = 5, size: int = 16) -> Network:
    spec = InputSpec(size=size, mean=(0.0,) * 3, std=(1.0,) * 3)
    return Network(module.eval(), labels=tuple(map(str, range(classes))), spec=spec)


def outputs(network: Network, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    """The outputs of every leaf module, by forward hooks."""
    found: dict[str, torch.Tensor] = {}

    def keep(name: str):
        def hook(module, inputs, output) -> None:
            found.setdefault(name, output)

        return hook

    normalized = network.normalize(pixels)
    leaves = [(name, module) for name, module in network.module.named_modules() if not list(module.children())]
    hooks = [module.register_forward_hook(keep(name)) for name, module in leaves]
    network.module(normalized)
    for hook in hooks:
        hook.remove()
    return found


def pixels() -> torch.Tensor:
    return torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(1))


def test_features_are_what_hooks_see_with_the_channels_second(network):
    seen = outputs(network, pixels())
    found = network.features(pixels(), [name for name in seen if name != "fc"])
    for name, value in found.items():
        expected = seen[name]
        if name.removeprefix("one.") in CHANNELS_LAST:
            expected = expected.permute(0, 3, 1, 2)
        torch.testing.assert_close(value, expected)
        assert value.shape[2:] == (8, 12)
    told = {}
    network.stream_features(pixels(), list(found), told.__setitem__)
    for name, value in found.items():
        torch.testing.assert_close(told[name], value)


def test_the_table_and_the_commands_work_see_channels_as_channels(network):
    rows = {row.name: row for row in network.layer_table((16, 24))}
    assert rows["one.wide"].shape == (12, 8, 12)
    assert (rows["one.wide"].layout, rows["one.spread"].layout, rows["fc"].layout) == ("NHWC", "NCHW", None)
    assert all(row.is_spatial and row.shape[1:] == (8, 12) for name, row in rows.items() if name not in ("mean", "fc"))
    x = pixels()
    hooked = outputs(network, x)["one.act"].permute(0, 3, 1, 2)
    assert activation_grid(network, x[:1], "one.act").maps.shape == (12, 8, 12)
    peaks = channel_maxima(network, x, "one.act")
    assert peaks.values.shape == (2, 12)
    assert hooked[1, 7, peaks.rows[1, 7], peaks.columns[1, 7]] == hooked[1, 7].max()
    assert map_layer(network, "one.act").channels == 12
    assert map_layer(network, "one.act").field == rows["one.spread"].receptive_field
    torch.testing.assert_close(embed_images(network, x, "one.act"), hooked.mean((2, 3)))
    subject = Channels("one.narrow", (3, 5))
    narrow = outputs(network, x)["one.narrow"].permute(0, 3, 1, 2)
    torch.testing.assert_close(
        make_activation(network, subject)(x), torch.stack([narrow[0, 3], narrow[1, 5]]).mean((1, 2))
    )
    torch.testing.assert_close(make_score(network, subject)(x), torch.stack([narrow[0, 3], narrow[1, 5]]).mean((1, 2)))
    assert plan_tiles(network, ["one.act"], (64, 64), side=24).sizes == {"one.act": (32, 32)}


def test_grad_cam_where_channels_come_last(network):
    """Weights and maps by hand, from what a hook sees and its gradient."""
    x, kept = pixels(), {}
    hook = network.module.one.act.register_forward_hook(lambda m, i, out: kept.update(maps=out))
    leaf = x.clone().requires_grad_()
    score = network.module(network.normalize(leaf))[:, 1].sum()
    hook.remove()
    gradient = torch.autograd.grad(score, kept["maps"])[0].permute(0, 3, 1, 2)
    weighted = (gradient.mean((2, 3), keepdim=True) * kept["maps"].permute(0, 3, 1, 2)).sum(1, keepdim=True).relu()
    expected = F.interpolate(weighted, size=(16, 24), mode="bilinear", align_corners=False)
    assert expected.max() > 0
    torch.testing.assert_close(cnnviz.grad_cam(network, x, 1, layer="one.act"), expected.detach())


def test_guided_backprop_of_a_neuron_where_channels_come_last(network):
    channel = int(network.features(pixels()[:1], ["one.act"])["one.act"][0, :, 7, 11].argmax())
    found = rectified_gradient(network, pixels()[:1], lambda maps: maps[0, channel, 7, 11], "guided", "one.act")
    assert found[..., :12, :20].abs().max() == 0  # what lies beyond its field
    assert found.abs().max() > 0


WAYS = {
    "permute": lambda x: x.permute(0, 2, 3, 1),
    "torch.permute": lambda x: torch.permute(x, [0, -2, -1, 1]),
    "transposes": lambda x: x.transpose(1, 2).transpose(2, 3),
    "movedim": lambda x: x.movedim(1, -1),
    "moveaxis": lambda x: torch.moveaxis(x, (1,), (3,)),
    "swapaxes": lambda x: torch.swapaxes(torch.swapaxes(x, 1, 3), 1, 2),
    "einsum": lambda x: torch.einsum("nchw->nhwc", x),
    "through tokens": lambda x: x.flatten(2).transpose(1, 2).view(x.shape[0], x.shape[2], x.shape[3], x.shape[1]),
    "unflatten": lambda x: x.flatten(2).mT.unflatten(1, (x.shape[2], x.shape[3])),
    "stack": lambda x: torch.stack([x[:, 0], x[:, 1], x[:, 2], x[:, 3]], -1),
    "columns first": lambda x: x.permute(0, 3, 2, 1),
    "turned": lambda x: x.transpose(2, 3),
}


@pytest.mark.parametrize("name", WAYS)
def test_every_way_to_move_channels_is_followed(name):
    class Moved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.act, self.fc = nn.Conv2d(3, 4, 3), nn.Tanh(), nn.LazyLinear(5)

        def forward(self, x):
            return self.fc(torch.flatten(self.act(WAYS[name](self.one(x))), 1))

    module = Moved()
    module(torch.rand(1, 3, 12, 16))
    network, x = wrapped(module, size=16), torch.rand(2, 3, 12, 16)
    torch.testing.assert_close(network.features(x, ["act"])["act"], module.one(x).tanh())


def test_scores_of_attention_and_vectors_are_no_maps_and_the_nearest_map_is_named():
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.norm = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8)
            self.attend, self.fc = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 5)

        def forward(self, x):
            x = self.norm(self.patches(x).relu().flatten(2).transpose(1, 2))
            heads = x.view(x.shape[0], x.shape[1], 2, 4).transpose(1, 2)
            x = F.softmax(heads @ heads.transpose(2, 3), -1).mean(1) @ x
            _, attended = self.attend(x, x, x)
            return self.fc(x.mean(1) + attended.mean((1, 2))[:, None])

    network, x = wrapped(Tokens(), size=16), pixels()
    for layer in ("softmax", "mean", "getitem_3", "fc"):
        assert not network.layers.is_map(layer)
        for ask, arguments in {
            cnnviz.grad_cam: (x, 1),
            activation_grid: (x[:1], layer),
            channel_maxima: (x, layer),
            map_layer: (layer,),
            make_score: (Channels(layer, (0, 1)),),
            plan_tiles: ([layer], (64, 64)),
        }.items():
            named = {"layer": layer} if ask is cnnviz.grad_cam else {}
            with pytest.raises(
                UsageError, match=f"'{layer}' is no map .*nearest that is one is '(matmul_1|getitem_2)'"
            ):
                ask(network, *arguments, **named)


def test_maps_of_one_size_are_told_by_what_is_done_to_them():
    """A network of a fixed input size, for which other shapes cannot be computed."""

    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.wide = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 6)
            self.place = nn.Parameter(torch.rand(1, 16, 16, 6))
            self.fc = nn.Linear(6, 5)

        def forward(self, x):
            torch._assert(x.shape[2] == 16, "of one size")
            x = (self.wide(self.one(x).permute(0, 2, 3, 1)) + self.place).tanh()
            return self.fc(x.mean((1, 2)))

    network = Network(Fixed(), labels=tuple("abcde"), spec=InputSpec(size=16, fixed=True))
    assert network.features(torch.rand(1, 3, 16, 16), ["tanh"])["tanh"].shape == (1, 6, 16, 16)


def test_weights_alone_are_no_layers():
    class Standardized(nn.Conv2d):
        def forward(self, x):
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return F.conv2d(x, weight / weight.std((1, 2, 3), keepdim=True), self.bias, self.stride, self.padding)

    network = wrapped(nn.Sequential(Standardized(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), classes=4)
    assert list(network.layers) == ["0.conv2d", "1", "2"]
    assert network.layers.node("0") is network.layers.node("0.conv2d")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "last"), [("convnext_tiny", "features.7.2.add"), ("swin_t", "permute.permute")])
def test_real_networks_with_channels_last(name, last):
    import torchvision

    torch.manual_seed(0)
    network = Network(getattr(torchvision.models, name)().eval(), name=name)
    x = torch.rand(1, 3, 64, 96)
    seen = {name: out for name, out in outputs(network, x).items() if isinstance(out, torch.Tensor) and out.ndim == 4}
    rows = {row.name: row for row in network.layer_table((64, 96))}
    known = [layer for layer in seen if layer in rows]
    assert len(known) > 60
    found = network.features(x, known)
    turned = 0
    for layer in known:
        expected = seen[layer]
        channels = rows[layer].shape[0]
        if expected.shape[1] != channels or rows[layer].layout == "NHWC":
            expected, turned = expected.permute(0, 3, 1, 2), turned + 1
        assert tuple(found[layer].shape[1:]) == rows[layer].shape
        torch.testing.assert_close(found[layer], expected)
    assert turned > 30
    assert all(row.shape[1] * 96 == row.shape[2] * 64 for row in rows.values() if row.is_spatial and row.shape[1] > 1)
    assert last_spatial_layer(network) == last
    assert cnnviz.grad_cam(network, x, layer=known[-1] if name == "convnext_tiny" else "features.5.1.mlp.1").max() >= 0
