"""Layers of modules that torch.fx cannot follow: by torch.export, then by hooks on the module's parts."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import cnnviz
from cnnviz.errors import ImageError, ModelError, UsageError
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec

PLAIN = InputSpec(size=20, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class Plain(nn.Module):
    """What the modules below compute, as torch.fx can follow it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.conv, self.act, self.pool = nn.Conv2d(6, 6, 3), nn.ReLU(), nn.MaxPool2d(2)
        self.fc = nn.Linear(6, 4)

    def middle(self, y):
        return self.act(self.conv(y)) + 0.5

    def forward(self, x):
        y = self.pool(self.middle(self.stem(x)))
        return self.fc(y.mean((2, 3)))


class Asserting(Plain):
    def forward(self, x):
        assert x.ndim == 4 and x.shape[1] == 3, "images, please"
        if x.shape[2] < 8:
            raise ValueError("too small")
        return super().forward(x)


class Arguments(Plain):
    """Arguments of every kind, a branch on the shape, and a part of a tensor that is set."""

    def forward(self, *args, scale=1.0, **more):
        (x,) = args
        y = self.stem(x) * scale if x.shape[0] > 0 else x
        y = self.middle(y)
        z = y.clone()
        z[:, 0] = y[:, 0]
        return self.fc(self.pool(z).mean((2, 3)))


class Sized(Plain):
    """Takes another way for each size, as a pooling by hand does."""

    def forward(self, x):
        y = self.middle(self.stem(x))
        y = self.pool(y) if x.shape[2] == 20 else self.pool(y) * 2
        return self.fc(y.mean((2, 3)))


class Branching(Plain):
    def forward(self, x):
        y = self.stem(x)
        y = self.middle(y) if y.detach().mean() > -1 else y
        return self.fc(self.pool(y).mean((2, 3)))


class Checkpointing(Plain):
    def forward(self, x):
        y = checkpoint(self.stem, x, use_reentrant=False) if x.shape[2] > 0 and x.sum() > -1e9 else x
        y = checkpoint(self.middle, y, use_reentrant=False)
        return self.fc(self.pool(y).mean((2, 3)))


class Converting(Plain):
    """NumPy in the middle, which nothing follows, and no gradient passes."""

    def forward(self, x):
        factor = float(x.detach().cpu().numpy().shape[0] > 0)
        return super().forward(x) * factor


KINDS = {Asserting: "export", Arguments: "export", Sized: "export", Branching: "hooks", Checkpointing: "hooks"}
LAYERS = ["stem.0", "stem", "conv", "act", "pool", "fc"]


def made(kind) -> nn.Module:
    torch.manual_seed(0)
    return kind().eval()


def plain_twin() -> Network:
    return Network(made(Plain), spec=PLAIN)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_and_maps_are_those_of_a_module_that_fx_follows(kind):
    network, twin, pixels = Network(made(kind), spec=PLAIN), plain_twin(), torch.rand(2, 3, 20, 20)
    close = {"rtol": 0, "atol": 1e-6}
    found, expected = network.features(pixels, LAYERS), twin.features(pixels, LAYERS)
    assert (network.traced_by, twin.traced_by) == (KINDS[kind], "fx")
    for name in LAYERS:
        torch.testing.assert_close(found[name], expected[name], **close)
    for layer in (None, "conv"):
        maps, others = (cnnviz.grad_cam(each, pixels, 1, layer=layer or "act") for each in (network, twin))
        torch.testing.assert_close(maps, others, **close)
    torch.testing.assert_close(cnnviz.saliency(network, pixels, 1), cnnviz.saliency(twin, pixels, 1), **close)
    torch.testing.assert_close(
        cnnviz.occlusion(network, pixels, 1, patch=8, stride=6), cnnviz.occlusion(twin, pixels, 1, patch=8, stride=6),
        **close,
    )  # fmt: skip


@pytest.mark.parametrize("kind", [Asserting, Branching])
def test_the_table_lists_modules_with_their_shapes_and_parameters(kind):
    def rows(network):
        return {row.name: (row.kind, row.shape, row.parameters) for row in network.layer_table()}

    found, expected = rows(Network(made(kind), spec=PLAIN)), rows(plain_twin())
    assert set(found) <= set(expected)
    assert {"stem.0", "stem.1", "stem.2", "conv", "act", "pool", "fc"} <= set(found)
    assert all(expected[name] == row for name, row in found.items())


def test_guided_backprop_sees_the_modules_alone():
    pixels = torch.rand(1, 3, 20, 20)
    for method in (cnnviz.guided_backprop, cnnviz.deconvnet):
        expected = method(plain_twin(), pixels, 1)
        for kind in (Branching, Checkpointing):  # whose operations outside of modules are linear
            found = method(Network(made(kind), spec=PLAIN), pixels, 1)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_guided_backprop_is_refused_where_a_nonlinearity_is_no_module():
    class Functional(Branching):
        def middle(self, y):
            return F.gelu(self.conv(y))

    network = Network(made(Functional), spec=PLAIN)
    with pytest.raises(UsageError, match="hooks on its modules only, and gelu is none"):
        cnnviz.guided_backprop(network, torch.rand(1, 3, 20, 20))
    assert cnnviz.grad_cam(network, torch.rand(1, 3, 20, 20), layer="conv").shape == (1, 1, 20, 20)


def test_a_layer_may_be_given_as_a_submodule_of_ones_own():
    module, pixels = nn.DataParallel(made(Plain)), torch.rand(1, 3, 20, 20)
    inner = module.module
    for network in (Network(module, spec=PLAIN), Network(torch.compile(inner, backend="eager"), spec=PLAIN)):
        found = network.features(pixels, [inner.stem, "conv", inner.stem[0]])
        torch.testing.assert_close(found[inner.stem], inner.stem(pixels), rtol=0, atol=1e-6)
        assert list(found) == [inner.stem, "conv", inner.stem[0]]
        for method in (cnnviz.grad_cam, cnnviz.guided_grad_cam):
            by_module, by_name = (method(network, pixels, 1, layer=each) for each in (inner.conv, "conv"))
            torch.testing.assert_close(by_module, by_name, rtol=0, atol=0)
        assert torch.equal(cnnviz.activation_grid(network, pixels, inner.conv).maps, found["conv"][0])
        assert cnnviz.filter_grid(network, inner.conv).layer == "conv"
        assert cnnviz.embed_images(network, pixels, inner.pool).shape == (1, 6)
        assert cnnviz.visualize(network, layer=inner.conv, channel=0, size=20, steps=1).shape == (1, 3, 20, 20)
        assert cnnviz.dream(network, pixels, [inner.conv], octaves=1, steps=1).shape == pixels.shape
        assert cnnviz.invert(network, pixels, inner.pool, steps=1).shape == pixels.shape
        assert cnnviz.top_patches(network, [("a", pixels)], inner.conv, [2])[2]


def test_a_submodule_of_another_module_or_never_called_is_refused():
    module = made(Plain)
    module.spare = nn.Linear(2, 2)
    network, pixels = Network(module, spec=PLAIN), torch.rand(1, 3, 20, 20)
    with pytest.raises(UsageError, match="no part of custom"):
        network.features(pixels, [nn.ReLU()])
    with pytest.raises(UsageError, match=r"'spare' .* is not called"):
        cnnviz.grad_cam(network, pixels, layer=module.spare)
    with pytest.raises(UsageError, match="by name or as a submodule, not as 3"):
        network.features(pixels, [3])


def exported(module: nn.Module, count: int, any_size: bool) -> torch.export.ExportedProgram:
    auto = torch.export.Dim.AUTO
    axes = {0: auto, 2: auto, 3: auto} if any_size else None
    return torch.export.export(module, (torch.rand(count, 3, 20, 20),), dynamic_shapes=(axes,))


@pytest.mark.parametrize("count", [None, 1, 2])
def test_an_exported_program_is_a_network(count):
    program = exported(made(Plain), count or 3, any_size=count is None)
    pixels, twin, close = torch.rand(3, 3, 20, 20), plain_twin(), {"rtol": 0, "atol": 1e-6}
    with pytest.raises(NotImplementedError):
        program.module().eval()
    for module in (program, program.module()):
        network = Network(module, mean=(0, 0, 0), std=(1, 1, 1), size=20)
        assert (network.traced_by, network.spec.fixed, network.images_at_once) == ("export", count is not None, count)
        assert [name for name in LAYERS if name not in network.layers] == []
        torch.testing.assert_close(network(pixels), twin(pixels), **close)
        torch.testing.assert_close(cnnviz.saliency(network, pixels, 1), cnnviz.saliency(twin, pixels, 1), **close)
        found, expected = network.features(pixels, LAYERS), twin.features(pixels, LAYERS)
        for name in LAYERS:
            torch.testing.assert_close(found[name], expected[name], **close)
        together = pixels[: count or 3]
        maps = [
            (
                cnnviz.grad_cam(each, together, 1, layer="conv"),
                cnnviz.guided_backprop(each, together, 1),
                cnnviz.occlusion(each, pixels[:1], 1, patch=8, stride=6),
            )
            for each in (network, twin)
        ]
        torch.testing.assert_close(*maps, **close)
        if count is not None:
            with pytest.raises(UsageError, match=f"exported for {count} image"):
                cnnviz.grad_cam(network, pixels)
            with pytest.raises(ImageError, match="20×20"):
                network(torch.rand(1, 3, 24, 24))


class Pairs(Plain):
    """Takes images by twos."""

    def forward(self, x):
        return super().forward(x).view(x.shape[0] // 2, 2, -1).flatten(0, 1)


def test_an_exported_program_for_several_images_at_a_time_gets_so_many():
    half = torch.export.Dim("half", min=2, max=100)
    program = torch.export.export(made(Pairs), (torch.rand(4, 3, 20, 20),), dynamic_shapes=({0: 2 * half},))
    network, twin, pixels = Network(program, mean=(0, 0, 0), std=(1, 1, 1)), plain_twin(), torch.rand(3, 3, 20, 20)
    assert network.images_at_once == 4
    torch.testing.assert_close(network(pixels), twin(pixels), rtol=0, atol=1e-6)
    torch.testing.assert_close(cnnviz.saliency(network, pixels[:1], 1), cnnviz.saliency(twin, pixels[:1], 1))
    found, expected = (
        {layer.name: layer.macs for layer in table if layer.macs}
        for table in (network.layer_table(), twin.layer_table((20, 20)))
    )
    assert found == expected
    few = torch.export.Dim("few", min=1, max=8)
    program = torch.export.export(made(Plain), (torch.rand(4, 3, 20, 20),), dynamic_shapes=({0: few},))
    assert Network(program)(torch.rand(20, 3, 20, 20)).shape[0] == 20


def test_a_program_for_one_size_dreams_at_that_size_and_does_not_paint():
    network = Network(exported(made(Plain), 1, any_size=False))
    pixels = torch.rand(1, 3, 20, 20)
    assert cnnviz.dream(network, pixels, ["conv"], octaves=3, steps=1).shape == pixels.shape
    for paint in (cnnviz.transfer_style, lambda *given, **more: cnnviz.synthesize_texture(given[0], given[1], **more)):
        with pytest.raises(UsageError, match="20×20 pixels only"):
            paint(network, pixels, pixels, steps=1)


def test_an_exported_program_that_is_no_network_of_images_is_refused():
    class Two(nn.Module):
        def forward(self, x, y):
            return (x + y).mean((2, 3))

    x = torch.rand(1, 3, 20, 20)
    with pytest.raises(ModelError, match="2 inputs"):
        Network(torch.export.export(Two(), (x, x)))
    with pytest.raises(ModelError, match="20×24 pixels"):
        Network(torch.export.export(made(Plain), (torch.rand(1, 3, 24, 20),)))
    with pytest.raises(ModelError, match="training mode"):
        Network(torch.export.export(nn.Sequential(nn.Dropout(), nn.Conv2d(3, 2, 3)).train(), (x,)))
    with pytest.raises(UsageError, match="images of 20×20 pixels, and takes none of 32×32"):
        Network(exported(made(Plain), 1, any_size=False), size=32)


def normed(kind: str) -> nn.Module:
    """``Branching`` with weights computed from others."""
    module = made(Branching)
    ways = {
        "weight norm": nn.utils.parametrizations.weight_norm,
        "old weight norm": nn.utils.weight_norm,
        "spectral norm": nn.utils.parametrizations.spectral_norm,
        "old spectral norm": nn.utils.spectral_norm,
    }
    module.conv = ways[kind](module.conv)
    return module


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
@pytest.mark.parametrize("kind", ["weight norm", "old weight norm", "spectral norm", "old spectral norm"])
def test_layers_with_computed_weights_follow_the_users_module(kind):
    module, pixels = normed(kind).eval(), torch.rand(1, 3, 20, 20)
    network = Network(module, spec=PLAIN)
    for _ in range(2):
        found = network.features(pixels, ["conv", "fc"])
        with torch.no_grad():
            torch.testing.assert_close(found["conv"], module.conv(module.stem(pixels)), rtol=0, atol=1e-6)
            torch.testing.assert_close(found["fc"], module(pixels), rtol=0, atol=1e-6)
            for parameter in module.conv.parameters():
                parameter.add_(0.1)
    assert cnnviz.grad_cam(network, pixels, layer="conv").shape == (1, 1, 20, 20)


def test_distributed_data_parallel_is_looked_into(tmp_path):
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        network = Network(nn.parallel.DistributedDataParallel(made(Branching)), spec=PLAIN)
        pixels = torch.rand(1, 3, 20, 20)
        torch.testing.assert_close(network(pixels), plain_twin()(pixels), rtol=0, atol=1e-6)
        assert "stem.0" in network.layers
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("kind", [Asserting, Branching, Checkpointing])
def test_looking_by_other_ways_leaves_the_module_as_it_was(kind):
    module, pixels = made(kind).train(), torch.rand(1, 3, 20, 20)
    before = copy.deepcopy(module.state_dict())
    facts = [(each, each.training, sorted(each.__dict__), dict(each._forward_hooks)) for each in module.modules()]
    network = Network(module, spec=PLAIN)
    network.features(pixels, ["conv"])
    cnnviz.grad_cam(network, pixels, layer="conv")
    cnnviz.guided_backprop(network, pixels)
    network.layer_table()
    now = [(each, each.training, sorted(each.__dict__), dict(each._forward_hooks)) for each in module.modules()]
    assert now == facts
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in module.parameters())
    module.fc = nn.Linear(6, 7)
    assert network.features(pixels, ["fc"])["fc"].shape == (1, 7)


def test_missing_functions_are_named():
    network = Network(made(Branching), spec=PLAIN)
    assert "missing are the functions mean and add" in network.missing_layers
    with pytest.raises(UsageError, match=r"no layer called 'add'.*missing are the functions mean and add"):
        network.features(torch.rand(1, 3, 20, 20), ["add"])
    assert plain_twin().missing_layers == ""


def test_submodules_are_layers_of_paintings_textures_and_dreams():
    from cnnviz.synthesis.deepdream import DreamTarget

    module = made(Plain)
    network, pixels = Network(module, spec=PLAIN), torch.rand(1, 3, 32, 32)

    def painted(layer):
        return (
            cnnviz.transfer_style(network, pixels, pixels, steps=2, style_layers=[layer], content_layers=[layer]),
            cnnviz.synthesize_texture(network, pixels, steps=2, layers=[layer]),
            cnnviz.dream(network, pixels, [DreamTarget(layer, 1)], octaves=1, steps=1),
        )

    for one, other in zip(painted(module.conv), painted("conv"), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(UsageError, match="no part of custom"):
        painted(nn.ReLU())
