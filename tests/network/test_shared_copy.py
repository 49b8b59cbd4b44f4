"""The user's own module stays as it was, and each call uses it as it is then."""

from __future__ import annotations

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import cnnviz
from cnnviz.errors import ModelError
from cnnviz.network.network import Network
from cnnviz.network.network_transforms import with_average_pooling
from cnnviz.network.spec import InputSpec

PLAIN = InputSpec(size=20, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class Usual(nn.Module):
    """Convolutions, normalization, an in-place ReLU, dropout, and a view."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.act, self.pool, self.drop = nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout(0.5)
        self.fc = nn.Linear(8 * 9 * 9, 5)

    def forward(self, x):
        x = self.pool(self.act(self.norm(self.conv(x))))
        return self.fc(self.drop(x.view(x.size(0), -1)))


class Counting(Usual):
    """Counts its calls, keeps its outputs in a list, and adds to a buffer in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.outputs = 0, []
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        if self.training:
            self.seen += len(x)
        self.outputs.append(x.mean())
        return super().forward(x)


class Shared(nn.Module):
    """One convolution used twice, and a weight that two layers have in common."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.one, self.two = nn.Linear(6, 4, bias=False), nn.Linear(6, 4)
        self.two.weight = self.one.weight

    def forward(self, x):
        x = self.stem(x)
        x = self.conv(self.conv(x).relu()).relu().mean((2, 3))
        return self.one(x) - self.two(x)


class Listed(nn.Module):
    """Layers that a plain list and a bound method hold besides the attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)
        self.steps = [self.a, self.b, self._act]

    def _act(self, x):
        return F.relu(x)

    def forward(self, x):
        for step in self.steps:
            x = step(x)
        return self.fc(x.mean((2, 3)))


def hooked() -> nn.Module:
    module = Usual()
    module.kept = []
    module.norm.register_forward_hook(lambda m, args, out: module.kept.append(out.shape))
    module.conv.register_full_backward_hook(lambda m, grad_in, grad_out: None)
    return module


def frozen_in_part() -> nn.Module:
    module = Usual()
    module.conv.requires_grad_(False)
    module.norm.eval()
    return module


def with_gradients() -> nn.Module:
    module = Usual()
    module(torch.rand(4, 3, 20, 20)).sum().backward()
    return module


def normalised_weights() -> nn.Module:
    module = Usual()
    nn.utils.parametrizations.weight_norm(module.conv)
    nn.utils.parametrizations.spectral_norm(module.fc)
    return module


MODULES = {
    "usual": Usual,
    "evaluated": lambda: Usual().eval(),
    "counting": Counting,
    "shared": Shared,
    "listed": Listed,
    "hooked": hooked,
    "frozen in part": frozen_in_part,
    "with gradients": with_gradients,
    "weight and spectral norm": normalised_weights,
    "channels last": lambda: Shared().to(memory_format=torch.channels_last),
    "double": lambda: Usual().double(),
    "data parallel": lambda: nn.DataParallel(Usual()),
    "sequential": lambda: nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(True), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "group norm, no bias": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.GroupNorm(2, 4), nn.SiLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ),
}


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    return MODULES[name]()


def facts(module: nn.Module) -> list:
    """All that can be known of a module: its objects one by one, and the values they have."""
    found: list = []
    for path, child in module.named_modules():
        found += [path, child, type(child), child.training, sorted(child.__dict__)]
        found += [value for value in child.__dict__.values() if not isinstance(value, dict | list)]
        found += [list(value) for value in child.__dict__.values() if isinstance(value, dict | list)]
        for table in (child._parameters, child._buffers):
            for tensor in filter(lambda tensor: tensor is not None, table.values()):
                found += [tensor, tensor.data_ptr(), tensor.stride(), tensor.dtype, tensor.requires_grad, tensor.grad]
                found += [tensor._version, tensor.detach().clone().tolist()]
                found += [None if tensor.grad is None else tensor.grad.tolist()]
        found += [value for key, table in vars(child).items() if "hooks" in key and table for value in table.values()]
    return found


def look(module: nn.Module) -> None:
    """Methods of every kind: plain passes, gradients, the graph, rewritten gradients, cut graphs, occlusion."""
    network = Network(module, spec=PLAIN)
    pixels = torch.rand(2, 3, 20, 20)
    cnnviz.saliency(network, pixels)
    network.predict(pixels)
    first = next(layer.name for layer in network.layer_table() if layer.is_spatial)
    network.features(pixels, [first])
    cnnviz.grad_cam(network, pixels, layer=first)
    cnnviz.occlusion(network, pixels[:1], patch=8, stride=6)
    cnnviz.fgsm(network, pixels, 1 / 255)
    with_average_pooling(network).features(pixels, [first])


def same(one, other) -> bool:
    return one is other or (not isinstance(one, torch.Tensor) and not isinstance(other, torch.Tensor) and one == other)


@pytest.mark.parametrize("name", MODULES)
def test_looking_changes_nothing(name):
    module = made(name)
    before = facts(module)
    look(module)
    after = facts(module)
    assert len(before) == len(after)
    changed = [(a, b) for a, b in zip(before, after, strict=True) if not same(a, b)]
    if name == "hooked":  # a hook is called in each pass, with tensors, as it asked to be
        changed = [pair for pair in changed if not isinstance(pair[0], list)]
        assert all(isinstance(shape, torch.Size) for shape in module.kept)
    assert not changed


@pytest.mark.parametrize("name", MODULES)
def test_a_training_step_afterwards_is_an_untouched_modules(name):
    looked_at, untouched = made(name).train(), made(name).train()
    look(looked_at)
    for module in (looked_at, untouched):
        torch.manual_seed(1)
        weights = [p for p in module.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(weights, lr=0.1)
        optimizer.zero_grad()
        x = torch.rand(4, 3, 20, 20, dtype=weights[0].dtype)
        module(x).square().sum().backward()
        optimizer.step()
    for one, other in zip(looked_at.state_dict().values(), untouched.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_a_module_saves_compiles_and_flattens_afterwards(tmp_path):
    module = made("usual").eval()
    look(module)
    content = io.BytesIO()
    torch.save(module, content)
    assert b"cnnviz.network" not in content.getvalue()
    x = torch.rand(2, 3, 20, 20)
    torch.testing.assert_close(torch.jit.trace(module, x)(x), module(x))
    nn.utils.vector_to_parameters(nn.utils.parameters_to_vector(module.parameters()), module.parameters())
    torch.func.functional_call(module, dict(module.named_parameters()), x)
    assert torch.fx.symbolic_trace(module)(x).shape == (2, 5)


def test_evaluation_mode_is_taken_whatever_mode_the_module_is_in():
    module = made("usual").train()
    network, pixels = Network(module, spec=PLAIN), torch.rand(2, 3, 20, 20)
    expected = copy.deepcopy(module).eval()(pixels)
    for _ in range(2):
        torch.testing.assert_close(network(pixels), expected, rtol=0, atol=1e-6)
    assert module.training


SCRIPTED = {
    "scripted": torch.jit.script,
    "traced": lambda module: torch.jit.trace(module.eval(), torch.rand(1, 3, 20, 20)),
    "frozen": lambda module: torch.jit.freeze(torch.jit.script(module.eval())),
}


@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning", "ignore:.*deprecated:DeprecationWarning")
@pytest.mark.parametrize("form", SCRIPTED)
def test_a_torchscript_module_gives_predictions_and_gradients_but_no_layers(form):
    module, pixels = made("usual").train(), torch.rand(2, 3, 20, 20)
    scripted = SCRIPTED[form](module)
    modes = [each.training for each in scripted.modules() if hasattr(each, "training")]
    network, twin = Network(scripted, spec=PLAIN), Network(module, spec=PLAIN)
    for method in (
        lambda network: network(pixels),
        lambda network: cnnviz.saliency(network, pixels, 1),
        lambda network: cnnviz.integrated_gradients(network, pixels, 1, steps=2),
        lambda network: cnnviz.occlusion(network, pixels[:1], 1, patch=8, stride=6),
        lambda network: cnnviz.fgsm(network, pixels, 1 / 255),
    ):
        torch.testing.assert_close(method(network), method(twin), rtol=0, atol=1e-5)
    with pytest.raises(ModelError, match="TorchScript"):
        cnnviz.grad_cam(network, pixels)
    assert [each.training for each in scripted.modules() if hasattr(each, "training")] == modes
    assert all(parameter.grad is None for parameter in scripted.parameters())
    if form == "scripted":
        before = network(pixels)
        with torch.no_grad():
            scripted.fc.bias += 1
            scripted.norm.running_mean += 1
        assert not torch.allclose(network(pixels), before + 1)
        torch.testing.assert_close(network(pixels), copy.deepcopy(scripted).eval()(pixels), rtol=0, atol=1e-6)


def _data(module):
    module.conv.weight.data = module.conv.weight.data.roll(1, 0) * 2


def _numpy(module):
    module.conv.weight.detach().numpy()[:] = 0.3


def _fused(module):
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1, fused=True)
    module(torch.rand(4, 3, 20, 20)).square().sum().backward()
    optimizer.step()


def _replaced(module):
    module.fc = nn.Linear(8 * 9 * 9, 5)


def _replaced_deep_in(module):
    module.conv.weight = nn.Parameter(torch.randn(8, 3, 3, 3))


def _loaded(module):
    module.load_state_dict({k: v * 1.5 for k, v in module.state_dict().items()}, assign=True)


def _statistics(module):
    module.train()(torch.rand(8, 3, 20, 20) * 3)


def _in_place(module):
    with torch.no_grad():
        module.norm.bias.add_(torch.linspace(-1, 1, 8))


def _activation(module):
    module.act = nn.Tanh()


def _hook(module):
    module.act.register_forward_hook(lambda m, args, out: out * 2)


CHANGES = [_data, _numpy, _fused, _replaced, _replaced_deep_in, _loaded, _statistics, _in_place, _activation, _hook]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_a_module_changed_after_it_was_wrapped_is_seen_as_it_is_then(change):
    module, pixels = made("usual"), torch.rand(1, 3, 20, 20)
    network = Network(module, spec=PLAIN)
    average = with_average_pooling(network)

    def read(network):
        found = [network(pixels), network.logits(pixels), *network.features(pixels, ["act", "fc"]).values()]
        return [*found, cnnviz.grad_cam(network, pixels, 0, layer="conv"), cnnviz.saliency(network, pixels, 0)]

    before, _ = read(network), read(average)
    change(module)
    fresh = Network(module, spec=PLAIN)
    for found, expected in zip(
        read(network) + read(average), read(fresh) + read(with_average_pooling(fresh)), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert not all(torch.allclose(a, b) for a, b in zip(before, read(network), strict=True))


def test_a_head_of_other_classes_is_noticed():
    module = made("usual")
    network = Network(module, spec=PLAIN)
    assert len(network.labels) == 5
    module.fc = nn.Linear(8 * 9 * 9, 7)
    assert network(torch.rand(1, 3, 20, 20)).shape == (1, 7)
    assert (network.classes, len(network.labels)) == (7, 7)


class Defaults(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 6, 3), nn.Linear(6, 4)

    def forward(self, x, domain=None, flag=False, *rest, scale=2.0, **more):
        x = self.conv(x)
        if domain is not None or flag or rest or more:
            x = x * 0
        return self.fc(x.relu().mean((2, 3))) * scale


class Indices(nn.Module):
    """A pooling that tells where its maxima were, and an unpooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act, self.pool = nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2, return_indices=True)
        self.unpool, self.last = nn.MaxUnpool2d(2), nn.Conv2d(6, 4, 3)

    def forward(self, x):
        x, where = self.pool(self.act(self.conv(x)))
        return self.last(self.unpool(x, where)).mean((2, 3))


class Buffers(nn.Module):
    """A buffer that takes part, and one of no use that a statement adds to."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("scale", torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 4, 1, 1))

    def forward(self, x):
        return (self.conv(x) * (self.scale * 2)).relu().mean((2, 3))


@pytest.mark.parametrize("kind", [Defaults, Indices, Buffers, Usual, Shared, Listed, Counting])
def test_every_way_of_reading_gives_the_modules_own_logits(kind):
    torch.manual_seed(0)
    module, pixels = kind().eval(), torch.rand(2, 3, 20, 20)
    expected = copy.deepcopy(module)(pixels)
    network = Network(module, spec=PLAIN)
    for _ in range(2):  # before the graph is known, and after
        torch.testing.assert_close(network(pixels), expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(network.logits(pixels), expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(network.graph(network.normalize(pixels)), expected, rtol=0, atol=1e-6)
        cut = network.truncated({"logits": None}, fused=True)(network.normalize(pixels))["logits"]
        torch.testing.assert_close(cut, expected, rtol=0, atol=1e-6)
    averaged = with_average_pooling(network)
    averaged.features(pixels, [next(iter(averaged.layers))])


def test_a_buffer_changed_later_is_seen_by_the_graph():
    module, pixels = Buffers(), torch.rand(1, 3, 20, 20)
    network = Network(module, spec=PLAIN)
    before = network.features(pixels, ["relu"])["relu"]
    module.scale *= 3
    torch.testing.assert_close(network.features(pixels, ["relu"])["relu"], before * 3)


def test_a_network_moved_to_another_type_leaves_the_module_and_follows_it():
    module, pixels = made("usual"), torch.rand(1, 3, 20, 20, dtype=torch.float64)
    network = Network(module, spec=PLAIN).to(torch.float64)
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    assert network(pixels).dtype == torch.float64
    expected = copy.deepcopy(module).eval().double()(pixels)
    torch.testing.assert_close(network(pixels), expected, rtol=0, atol=1e-12)
    module.fc.bias.data += 1
    torch.testing.assert_close(network(pixels), expected + 1, rtol=0, atol=1e-6)
    torch.testing.assert_close(network.features(pixels, ["fc"])["fc"], expected + 1, rtol=0, atol=1e-6)


def test_networks_of_ones_own_go_into_sets_and_copies():
    network, pixels = Network(made("usual"), spec=PLAIN), torch.rand(1, 3, 20, 20)
    other = copy.deepcopy(network)
    assert len({network, other}) == 2
    torch.testing.assert_close(other(pixels), network(pixels))
    with torch.no_grad():
        other.module.fc.bias.add_(1)
    torch.testing.assert_close(other(pixels), network(pixels) + 1)
    torch.testing.assert_close(other.features(pixels, ["fc"])["fc"], network(pixels) + 1)


def test_wrapping_in_inference_mode_and_weights_made_in_it():
    with torch.inference_mode():
        module = made("usual")
        network = Network(module, spec=PLAIN)
    pixels = torch.rand(1, 3, 20, 20)
    found = cnnviz.saliency(network, pixels, 0)
    torch.testing.assert_close(found, cnnviz.saliency(Network(made("usual"), spec=PLAIN), pixels, 0))
    with torch.inference_mode():
        module.fc.weight.mul_(2)
    torch.testing.assert_close(cnnviz.saliency(network, pixels, 0), found * 2)
