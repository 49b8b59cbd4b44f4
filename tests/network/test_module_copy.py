"""Modules that refer to their parts by lists, closures, hooks and the like: the copies run, never the originals."""

from __future__ import annotations

import copy
import functools
import pickle
import threading
import types
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import cnnviz
from cnnviz.errors import ModelError
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec

PLAIN = InputSpec(size=20, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


TRACED = pytest.mark.needs("traced_buffers")


class Plain(nn.Module):
    """Normalization and dropout show at once which module runs, and in which mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.drop, self.fc = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Dropout(), nn.Linear(6, 4)
        self.factor, self.factors, self.settings = 1.0, [1.0], types.SimpleNamespace(power=1.0)
        self.set_up()

    def set_up(self) -> None:
        """What a kind of module adds."""

    def middle(self, y):
        return self.drop(self.norm(y))

    def forward(self, x):
        y = self.middle(self.conv(x)).relu() * self.factor * self.factors[0] ** self.settings.power
        return self.fc(y.mean((2, 3)))


class Closure(Plain):
    def set_up(self) -> None:
        self.middle = lambda y: self.drop(self.norm(y))


class Forward(Plain):
    """A patched module whose new forward pass calls the old one."""

    def set_up(self) -> None:
        old = self.norm.forward

        @functools.wraps(old)
        def doubled(x):
            return old(x) * 2

        self.norm.forward = doubled


class Helper(Plain):
    class Steps:
        def __init__(self, owner) -> None:
            self.owner = owner

        def __call__(self, y):
            return self.owner.drop(self.owner.norm(y))

    def set_up(self) -> None:
        self.middle = Helper.Steps(self)


class Weak(Plain):
    def set_up(self) -> None:
        self.parent = weakref.ref(self)

    def middle(self, y):
        return self.parent().norm(y)


class Partial(Plain):
    def set_up(self) -> None:
        self.middle = functools.partial(lambda norm, y: norm(y), self.norm)


class Compiled(Plain):
    def set_up(self) -> None:
        self.norm.compile(backend="eager")
        self.drop = torch.compile(self.drop, backend="eager")


class Slots(Plain):
    __slots__ = ("scale",)

    def set_up(self) -> None:
        self.scale = 3.0

    def middle(self, y):
        return self.norm(y) * self.scale


class Kept(Plain):
    """A hook of its own keeps what the forward pass reads."""

    def set_up(self) -> None:
        self.kept = {}
        self.norm.register_forward_hook(self.keep)
        self.drop.register_forward_hook(lambda m, args, out: self.kept.update(drop=out))

    def keep(self, module, args, out):
        self.kept["norm"] = out

    def middle(self, y):
        super().middle(y)
        return self.kept["norm"] + self.kept["drop"]


class OwnModes(Plain):
    """Another branch in evaluation mode, which the flag ``training`` alone does not take; a frozen normalization."""

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        self.factor = 1.0 if mode else 3.0
        return self


class Moving(Plain):
    """Buffers that a pass in evaluation mode writes to, in place and by another tensor."""

    def set_up(self) -> None:
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(6))

    def middle(self, y):
        self.seen += 1
        self.mean = self.mean * 0.5 + y.detach().mean((0, 2, 3)) * 0.5
        return super().middle(y)


class Growing(Plain):
    """A buffer that a pass gives another shape, as those that watch the range of values do."""

    def set_up(self) -> None:
        self.register_buffer("last", torch.empty(0))

    def middle(self, y):
        self.last.resize_(6).copy_(y.detach().mean((0, 2, 3)))
        return super().middle(y)


KINDS = [Closure, Forward, Helper, Weak, Partial, Compiled, Slots, Kept, OwnModes, Moving, Growing]


def made(kind) -> nn.Module:
    torch.manual_seed(0)
    return kind()


@pytest.mark.parametrize("kind", KINDS)
def test_the_copy_is_what_runs_however_its_parts_are_reached(kind):
    module, pixels = made(kind).train(), torch.rand(2, 3, 20, 20)
    with torch.no_grad():
        expected = made(kind).eval()(pixels)
    before = copy.deepcopy([*module.state_dict().values()])
    network = Network(module, spec=PLAIN)
    for _ in range(2):
        torch.testing.assert_close(network(pixels), expected, rtol=0, atol=1e-6)
    cnnviz.saliency(network, pixels)
    for one, other in zip(module.state_dict().values(), before, strict=True):
        assert torch.equal(one, other)
    assert module.training
    assert all(parameter.grad is None for parameter in module.parameters())
    assert not getattr(module, "kept", None)


@pytest.mark.parametrize(
    "kind", [Forward, Helper, Partial, Compiled, Slots, OwnModes, pytest.param(Moving, marks=TRACED)]
)
def test_its_graph_is_the_module_too(kind):
    module, pixels = made(kind).train(), torch.rand(2, 3, 20, 20)
    network = Network(module, spec=PLAIN)
    with torch.no_grad():
        expected = made(kind).eval()(pixels)
    for _ in range(2):
        torch.testing.assert_close(network.features(pixels, ["fc"])["fc"], expected, rtol=0, atol=1e-6)


def test_a_hook_of_the_users_own_is_called_as_it_is():
    module, seen = made(Plain), []
    module.norm.register_forward_hook(lambda m, args, out: seen.append(out.shape))
    Network(module, spec=PLAIN)(torch.rand(1, 3, 20, 20))
    assert torch.Size([1, 6, 18, 18]) in seen


class Merging(nn.Linear):
    """Weights that are merged in evaluation mode, as in LoRA layers."""

    merged = False

    def train(self, mode=True):
        super().train(mode)
        if self.merged == mode:
            self.weight.data += -1 if mode else 1
            self.merged = not mode
        return self


def test_weights_that_evaluation_mode_changes_are_left_alone():
    module, pixels = made(Plain).train(), torch.rand(1, 3, 20, 20)
    module.fc = Merging(6, 4)
    before = module.fc.weight.detach().clone()
    with pytest.raises(ModelError, match=r"call module\.eval\(\) first"):
        Network(module, spec=PLAIN)
    assert torch.equal(module.fc.weight, before)
    module.eval()
    torch.testing.assert_close(Network(module, spec=PLAIN)(pixels), module(pixels), rtol=0, atol=1e-6)


def test_a_part_in_torchscript_is_a_layer_like_any_other():
    module, pixels = made(Plain).train(), torch.rand(1, 3, 20, 20)
    module.norm = torch.jit.script(module.norm)
    network = Network(module, spec=PLAIN)
    found = network.features(pixels, ["norm", "fc"])
    assert module.training and module.norm.training
    module.eval()
    torch.testing.assert_close(found["norm"], module.norm(module.conv(pixels)), rtol=0, atol=1e-6)
    torch.testing.assert_close(found["fc"], module(pixels), rtol=0, atol=1e-6)
    torch.testing.assert_close(network(pixels), module(pixels), rtol=0, atol=1e-6)


def _item(module):
    module.factors[0] = 2.0


def _attribute_of_an_object(module):
    module.settings.power, module.factors[:] = 2.0, [3.0]


def _forward_of_the_class(module):
    class Other(Plain):
        pass

    module.__class__ = Other
    Network(module, spec=PLAIN).features(torch.rand(1, 3, 20, 20), ["fc"])
    Other.forward = lambda self, x: Plain.forward(self, x) * 2


@pytest.mark.parametrize("change", [_item, _attribute_of_an_object, _forward_of_the_class])
def test_a_change_inside_an_attribute_is_seen(change):
    module, pixels = made(Plain), torch.rand(1, 3, 20, 20)
    network = Network(module, spec=PLAIN)
    before = network.features(pixels, ["mean"])["mean"], network(pixels)
    change(module)
    after, fresh = (each.graph(each.normalize(pixels)) for each in (network, Network(module, spec=PLAIN)))
    torch.testing.assert_close(after, fresh, rtol=0, atol=0)
    torch.testing.assert_close(network(pixels), after, rtol=0, atol=1e-6)
    assert not torch.allclose(before[1], network(pixels))


class Rewriting(Plain):
    """Weights that the forward pass itself scales."""

    def forward(self, x):
        self.conv.weight.data = self.conv.weight.data * 0.5
        return super().forward(x)


class Clamping(Plain):
    def forward(self, x):
        nn.init.constant_(self.fc.bias, 0.5)
        return super().forward(x)


class Gradient(Plain):
    """A pass backward within the pass forward, which a graph has no place for."""

    def middle(self, y):
        with torch.enable_grad():
            z = y.detach().requires_grad_()
            return torch.autograd.grad((z**2).sum(), z)[0]


class Double(torch.autograd.Function):
    """A function that writes to its input."""

    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(2)

    @staticmethod
    def backward(ctx, slope):
        return slope * 2


class Dirty(Plain):
    def middle(self, y):
        Double.apply(y)
        return y


def test_weights_that_each_pass_changes_are_said():
    module, pixels = made(Rewriting), torch.rand(1, 3, 20, 20)
    network = Network(module, spec=PLAIN)
    assert network(pixels).shape == (1, 4)
    with pytest.raises(ModelError, match="layers"):
        network.features(pixels, ["conv"])


@pytest.mark.parametrize("kind", [Clamping, Gradient, Dirty])
def test_what_fx_cannot_follow_is_read_in_another_way(kind):
    module, pixels = made(kind).eval(), torch.rand(1, 3, 20, 20)
    network = Network(module, spec=PLAIN)
    found = network.features(pixels, ["conv", "fc"])
    assert network.traced_by != "fx"
    torch.testing.assert_close(found["conv"], module.conv(pixels), rtol=0, atol=1e-6)
    torch.testing.assert_close(found["fc"], copy.deepcopy(module)(pixels), rtol=0, atol=1e-6)


class Undifferentiable(Plain):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


class Detached(Plain):
    def middle(self, y):
        return y.detach()


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        (Undifferentiable, cnnviz.saliency),
        (Detached, cnnviz.saliency),
        (Detached, functools.partial(cnnviz.grad_cam, layer="conv")),
        (Undifferentiable, functools.partial(cnnviz.fgsm, epsilon=1 / 255)),
    ],
)
def test_where_there_is_no_gradient_that_is_said(kind, method):
    with pytest.raises(ModelError, match="no gradient"):
        method(Network(made(kind), spec=PLAIN), torch.rand(1, 3, 20, 20))


class Keywords(Plain):
    """In-place functions that are given their input by name."""

    def middle(self, y):
        F.leaky_relu_(input=y, negative_slope=0.3)
        z = torch.flatten(input=y, start_dim=2)
        return self.norm(input=y) + z.mean(2)[..., None, None]


def test_inputs_given_by_name_are_followed():
    module, pixels = made(Keywords).eval(), torch.rand(1, 3, 20, 20)
    found = Network(module, spec=PLAIN).features(pixels, ["conv", "fc"])
    torch.testing.assert_close(found["conv"], module.conv(pixels), rtol=0, atol=1e-6)
    torch.testing.assert_close(found["fc"], module(pixels), rtol=0, atol=1e-6)


def test_occlusion_of_a_layer_whose_weights_are_read_by_themselves():
    class Read(Plain):
        def middle(self, y):
            return y * self.conv.weight.mean()

    module = made(Read).eval()
    found = cnnviz.occlusion(Network(module, spec=PLAIN), torch.rand(1, 3, 20, 20), 0, patch=8, stride=6)
    assert bool(found.abs().max() > 0)


def test_a_module_without_values_is_refused():
    network = Network(made(Plain).to("meta"), spec=PLAIN, labels=("a", "b", "c", "d"))
    with pytest.raises(ModelError, match="meta"):
        network(torch.rand(1, 3, 20, 20))


def test_buffers_follow_within_a_transform_of_torch_func():
    module, pixels = made(Plain), torch.rand(1, 3, 20, 20)
    network = Network(module, spec=PLAIN)

    def slope():
        return torch.func.grad(lambda x: network(x)[:, 0].sum())(pixels)

    before = slope()
    module.norm.running_var *= 4
    after = slope()
    expected = torch.func.grad(lambda x: copy.deepcopy(module).eval()(x)[:, 0].sum())(pixels)
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-6)
    assert not torch.allclose(before, after)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_a_network_is_copied_and_pickled_with_its_module(again):
    pixels = torch.rand(1, 3, 20, 20)
    network = Network(made(Plain), spec=PLAIN)
    expected = network.features(pixels, ["fc"])["fc"]
    other = again(network)
    torch.testing.assert_close(other.features(pixels, ["fc"])["fc"], expected, rtol=0, atol=0)
    other.module.fc = nn.Linear(6, 3)
    assert (other(pixels).shape, network(pixels).shape) == ((1, 3), (1, 4))


def test_other_threads_call_modules_while_layers_are_listed():
    other, found = made(Plain).eval(), []

    class Threaded(Plain):
        def middle(self, y):
            thread = threading.Thread(target=lambda: found.append(other(torch.ones(1, 3, 20, 20))))
            thread.start()
            thread.join()
            return super().middle(y)

    network = Network(made(Threaded), spec=PLAIN)
    assert len(found) == 1
    network.features(torch.rand(1, 3, 20, 20), ["fc"])
    assert len(found) > 1
    assert all(torch.equal(each, found[0]) for each in found)
