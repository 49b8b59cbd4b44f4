"""Layers of tokens are maps of those at positions; class tokens, registers and scores of attention are none."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.network.default_layers import evenly_spaced_layers, last_spatial_layer
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec

WIDTH, HEADS = 12, 3


class Attention(nn.Module):
    """With the scores at hand, as timm's without ``scaled_dot_product_attention``."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        n, count, width = x.shape
        q, k, v = self.qkv(x).reshape(n, count, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q @ k.transpose(-2, -1)).softmax(-1)
        return self.proj((scores @ v).transpose(1, 2).reshape(n, count, width))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attn, self.norm2 = nn.LayerNorm(WIDTH), Attention(), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """Of images of one size, with ``first`` tokens before those of the positions and ``last`` after them."""

    def __init__(self, first: int = 1, last: int = 0, pooled: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.pooled = nn.Conv2d(3, WIDTH, 4, 4), pooled
        self.first, self.last = (nn.Parameter(torch.randn(1, n, WIDTH)) for n in (first, last))
        count = first + last + 16
        self.places = nn.Parameter(torch.randn(1, count, WIDTH))
        self.blocks = nn.Sequential(Block(), Block(), Block())
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor) -> Tensor:
        torch._assert(x.shape[2] == 16, "of one size")
        n = x.shape[0]
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(n, -1, -1), x, self.last.expand(n, -1, -1)], 1) + self.places
        x = self.norm(self.blocks(x))
        return self.head(x.mean(1) if self.pooled else x[:, 0])


def wrapped(module: nn.Module, size: int = 16) -> Network:
    spec = InputSpec(size=size, fixed=True, min_size=size, mean=(0.0,) * 3, std=(1.0,) * 3)
    return Network(module.eval(), labels=tuple("abcde"), spec=spec)


def pixels(size: int = 16) -> Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def hooked(module: nn.Module, path: str, x: Tensor) -> Tensor:
    kept = {}
    hook = module.get_submodule(path).register_forward_hook(lambda m, i, out: kept.update(out=out))
    module(x)
    hook.remove()
    return kept["out"]


@pytest.mark.parametrize(("first", "last"), [(1, 0), (0, 0), (2, 0), (1, 4), (0, 2)])
@pytest.mark.parametrize("layer", ["blocks.1", "blocks.2.norm1", "blocks.0.attn", "blocks.1.mlp.1", "norm"])
def test_features_are_the_tokens_at_positions(first, last, layer):
    network, x = wrapped(Transformer(first, last, pooled=True)), pixels()
    tokens = hooked(network.module, layer, x)
    expected = tokens[:, first : first + 16].transpose(1, 2).reshape(2, -1, 4, 4)
    torch.testing.assert_close(network.features(x, [layer])[layer], expected)
    told = {}
    network.stream_features(x, [layer], told.__setitem__)
    torch.testing.assert_close(told[layer], expected)
    row = next(row for row in network.layer_table() if layer in (row.name, *row.aliases))
    assert (row.shape, row.layout) == (tuple(expected.shape[1:]), "NTC")


def test_no_axis_of_heads_or_scores_is_a_map():
    network = wrapped(Transformer())
    maps = {row.name: row.shape for row in network.layer_table() if row.is_spatial}
    assert set(maps) & {"flatten", "transpose", "cat", "norm", "blocks.0.attn.qkv"}
    assert {shape[1:] for shape in maps.values()} == {(4, 4)}
    assert {shape[0] for shape in maps.values()} == {WIDTH, 2 * WIDTH, 3 * WIDTH}
    for layer in ("blocks.0.attn.softmax", "blocks.0.attn.getitem_3", "blocks.0.attn.permute", "head", "expand"):
        with pytest.raises(UsageError, match="is no map"):
            cnnviz.grad_cam(network, pixels(), 1, layer=layer)


def test_grad_cam_is_of_the_last_tokens_that_the_class_token_reads():
    """After the last attention no position has a gradient."""
    network, x = wrapped(Transformer(1, 2)), pixels()
    assert last_spatial_layer(network) == "blocks.2.norm1"
    assert cnnviz.grad_cam(network, x, 1, layer="blocks.2").max() == 0
    leaf, kept = x.clone().requires_grad_(), {}
    hook = network.module.blocks[2].norm1.register_forward_hook(lambda m, i, out: kept.update(out=out))
    score = network.module(leaf)[:, 1].sum()
    hook.remove()
    gradient = torch.autograd.grad(score, kept["out"])[0]
    values, gradient = (each[:, 1:17].transpose(1, 2).unflatten(2, (4, 4)) for each in (kept["out"], gradient))
    weighted = (gradient.mean((2, 3), keepdim=True) * values).sum(1, keepdim=True).relu()
    expected = F.interpolate(weighted, size=(16, 16), mode="bilinear", align_corners=False)
    assert expected.max() > 0
    torch.testing.assert_close(cnnviz.grad_cam(network, x, 1), expected.detach())


def test_where_all_tokens_are_averaged_grad_cam_is_of_the_last():
    network = wrapped(Transformer(0, pooled=True))
    assert last_spatial_layer(network) == "norm"
    assert cnnviz.grad_cam(network, pixels(), 1).max() > 0


def test_images_that_are_no_squares_have_grids_of_their_shape():
    """In a network of any size, with tokens on both sides."""

    class Free(Transformer):
        def forward(self, x: Tensor) -> Tensor:
            n = x.shape[0]
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.first.expand(n, -1, -1), x, self.last.expand(n, -1, -1)], 1)
            return self.head(self.blocks(x)[:, 0])

    network, x = Network(Free(2, 1).eval(), spec=InputSpec(size=16)), torch.rand(1, 3, 16, 24)
    tokens = hooked(network.module, "blocks.1", network.normalize(x))
    expected = tokens[:, 2:26].transpose(1, 2).unflatten(2, (4, 6))
    torch.testing.assert_close(network.features(x, ["blocks.1"])["blocks.1"], expected)
    assert {row.shape[1:] for row in network.layer_table((16, 24)) if row.is_spatial} == {(4, 6)}


def test_tokens_that_attend_to_fewer_keep_their_own_grid():
    """As in the Pyramid Vision Transformer: keys and values are of a smaller map."""

    class Reducing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.fewer = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 2, 2)
            self.q, self.kv, self.head = nn.Linear(8, 8), nn.Linear(8, 16), nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.patches(x)
            k, v = self.kv(self.fewer(x).flatten(2).transpose(1, 2)).chunk(2, -1)
            q = self.q(x.flatten(2).transpose(1, 2))
            return self.head(((q @ k.transpose(1, 2)).softmax(-1) @ v).tanh().mean(1))

    network, x = wrapped(Reducing()), pixels()
    shapes = {row.name: row.shape for row in network.layer_table() if row.is_spatial}
    assert (shapes["q"], shapes["kv"], shapes["tanh"]) == ((8, 4, 4), (16, 2, 2), (8, 4, 4))
    assert "softmax" not in shapes
    assert network.features(x, ["tanh"])["tanh"].shape == (2, 8, 4, 4)


def test_layers_that_are_shown_are_the_ends_of_blocks():
    assert evenly_spaced_layers(wrapped(Transformer()), 3) == ["blocks.0", "blocks.1", "blocks.2"]
    assert cnnviz.activation_grid(wrapped(Transformer()), pixels()[:1], "blocks.1").maps.shape == (WIDTH, 4, 4)


def test_torchvisions_vit():
    from torchvision.models import VisionTransformer

    torch.manual_seed(0)
    module = VisionTransformer(16, 4, 3, 2, WIDTH, 24, num_classes=5).eval()
    nn.init.normal_(module.heads.head.weight)
    network, x = wrapped(module), pixels()
    layer = last_spatial_layer(network)
    assert layer == "encoder.layers.encoder_layer_2.ln_1"
    tokens = hooked(module, layer, x)
    torch.testing.assert_close(network.features(x, [layer])[layer], tokens[:, 1:].transpose(1, 2).unflatten(2, (4, 4)))
    assert cnnviz.grad_cam(network, x, 1).max() > 0


@pytest.mark.parametrize("registers", [0, 3])
def test_timms_vit(registers):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    module = timm.models.VisionTransformer(
        img_size=16, patch_size=4, embed_dim=WIDTH, depth=3, num_heads=2, reg_tokens=registers, num_classes=5
    )
    network, x = wrapped(module.eval()), pixels()
    layer = last_spatial_layer(network)
    assert layer.startswith("blocks.2.norm1")
    tokens = hooked(module, "blocks.2.norm1", x)
    assert tokens.shape[1] == 16 + module.num_prefix_tokens
    expected = tokens[:, module.num_prefix_tokens :].transpose(1, 2).unflatten(2, (4, 4))
    torch.testing.assert_close(network.features(x, [layer])[layer], expected)
    assert cnnviz.grad_cam(network, x, 1).max() > 0
    for method in (cnnviz.saliency, cnnviz.integrated_gradients):
        assert method(network, x, 1).abs().max() > 0


def test_timms_swin_is_followed_through_windows_and_merged_patches():
    """Its windows take tensors apart, and its size is fixed: sums tell which layers are maps."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    module = timm.models.SwinTransformer(
        img_size=32, patch_size=2, window_size=4, embed_dim=8, depths=(2, 2), num_heads=(2, 2), num_classes=5
    )
    network, x = wrapped(module.eval(), 32), pixels(32)
    for layer, side in {"layers.0.blocks.1": 16, "layers.1.blocks.0": 8, "layers.1": 8, "norm": 8}.items():
        expected = hooked(module, layer, x).permute(0, 3, 1, 2)
        assert expected.shape[2:] == (side, side)
        torch.testing.assert_close(network.features(x, [layer])[layer], expected)
    assert last_spatial_layer(network).startswith("norm")
    assert cnnviz.grad_cam(network, x, 1).max() > 0


def test_a_transformer_that_only_hooks_can_read_says_so_instead_of_taking_its_patches():
    """They do not tell what becomes of its tokens; scores, and what follows their gradients, need no layers."""

    class Hidden(Transformer):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.relu() if x.mean() > 100 else x)

    network, x = wrapped(Hidden()), pixels()
    with pytest.raises(UsageError, match="is a transformer whose forward pass cannot be traced"):
        cnnviz.grad_cam(network, x, 1)
    assert cnnviz.saliency(network, x, 1).max() > 0


def test_a_transformer_that_torch_export_follows_has_its_grid():
    class Branching(Transformer):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x if x.shape[1] == 3 else x.relu())

    network, x = wrapped(Branching(1, 2)), pixels()
    assert network.traced_by == "export"
    assert last_spatial_layer(network) == "blocks.2.norm1"
    tokens = hooked(network.module, "blocks.1", x)
    expected = tokens[:, 1:17].transpose(1, 2).unflatten(2, (4, 4))
    torch.testing.assert_close(network.features(x, ["blocks.1"])["blocks.1"], expected)
