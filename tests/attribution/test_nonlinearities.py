"""What guided backprop and deconvnet take for a rectifier, what they pass over, and what they refuse by name."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

import cnnviz
from cnnviz.attribution.guided_backprop import rectified_gradient
from cnnviz.errors import UsageError
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec


class Acting(nn.Module):
    """Two convolutions, each with the same activation after it, and a linear layer over the mean."""

    def __init__(self, act) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.fc = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, stride=2), nn.Linear(6, 4)
        self.act = act  # a module becomes a child, a function stays one

    def forward(self, x):
        return self.fc(self.act(self.two(self.act(self.one(x)))).mean((2, 3)))


def network_of(module: nn.Module) -> Network:
    spec = InputSpec(size=12, mean=(0.0,) * 3, std=(1.0,) * 3)
    return Network(module.double().eval(), labels=tuple("abcd"), spec=spec)


def pixels() -> torch.Tensor:
    return torch.rand(2, 3, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


class Rule(torch.autograd.Function):
    """A rectifier under one of the two rules, as the papers state them."""

    @staticmethod
    def forward(ctx, value, high, rule):
        ctx.save_for_backward((value > 0) & (value < high))
        ctx.rule = rule
        return value.clamp(0, high)

    @staticmethod
    def backward(ctx, gradient):
        (inside,) = ctx.saved_tensors
        positive = torch.where(gradient > 0, gradient, torch.zeros_like(gradient))
        return positive * inside if ctx.rule == "guided" else positive, None, None


class Everywhere(TorchFunctionMode):
    """Puts the rule in place of every function that rectifies, as it is called, whoever calls it."""

    _CALLS = ("relu", "relu6", "clamp", "clip", "clamp_min", "maximum", "threshold", "where", "masked_fill", "hardtanh")

    def __init__(self, rule: str) -> None:
        super().__init__()
        self.rule = rule

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "").strip("_")
        if name not in self._CALLS and not (name == "max" and isinstance(args[1], torch.Tensor)):
            return function(*args, **(kwargs or {}))
        value = next(each for each in args if isinstance(each, torch.Tensor) and each.requires_grad)
        expected = function(*args, **(kwargs or {}))
        high = 6.0 if name == "relu6" else 0.1 if bool(expected.max() <= 0.1) else float("inf")
        torch.testing.assert_close(expected, value.clamp(0, high))
        return Rule.apply(value, high, self.rule)


def reference(network: Network, x: torch.Tensor, target: int, rule: str) -> torch.Tensor:
    x = x.clone().requires_grad_()
    with Everywhere(rule):
        score = network.module(x)[:, target].sum()
    return torch.autograd.grad(score, x)[0]


RECTIFIERS = {
    "nn.ReLU": nn.ReLU(),
    "F.relu": F.relu,
    "torch.relu": torch.relu,
    "method relu": lambda x: x.relu(),
    "clamp(min=0)": lambda x: x.clamp(min=0),
    "torch.clamp(x, 0)": lambda x: torch.clamp(x, 0.0),
    "clip": lambda x: torch.clip(x, min=0),
    "clamp_min": lambda x: x.clamp_min(0),
    "clamp to a tensor": lambda x: torch.clamp(x, min=x.new_zeros(())),
    "maximum": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "maximum turned": lambda x: torch.maximum(torch.zeros((), dtype=torch.float64), x),
    "max": lambda x: torch.max(x, x.new_zeros(1)),
    "F.threshold": lambda x: F.threshold(x, 0.0, 0.0),
    "nn.Threshold": nn.Threshold(0, 0),
    "where": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
    "where, at least": lambda x: torch.where(x >= 0, x, 0.0),
    "where, turned": lambda x: torch.where(x <= 0, torch.zeros_like(x), x),
    "where, from the number": lambda x: torch.where(0 < x, x, 0),  # noqa: SIM300
    "where as a method": lambda x: x.where(x.gt(0), 0.0),
    "masked_fill": lambda x: x.masked_fill(x < 0, 0.0),
    "F.relu6": F.relu6,
    "nn.ReLU6": nn.ReLU6(),
    "nn.Hardtanh(0, 0.1)": nn.Hardtanh(0.0, 0.1),
    "clamp(0, 0.1)": lambda x: x.clamp(0, 0.1),
}


@pytest.mark.parametrize("name", RECTIFIERS)
def test_a_rectifier_is_one_however_it_is_written(name):
    network, x = network_of(Acting(RECTIFIERS[name])), pixels()
    for rule, explain in {"guided": cnnviz.guided_backprop, "deconvnet": cnnviz.deconvnet}.items():
        expected = reference(network, x, 2, rule)
        plain = torch.autograd.grad(network.module(seen := x.clone().requires_grad_())[:, 2].sum(), seen)[0]
        assert not torch.allclose(expected, plain)
        torch.testing.assert_close(explain(network, x, 2), expected)


class Swish(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


class Smooth(torch.autograd.Function):
    """A user's own function: what it does is not to be seen from outside."""

    @staticmethod
    def forward(ctx, x):
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 0.5


class Squeeze(nn.Module):
    """Squeeze and excitation around a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Conv2d(6, 6, 1)

    def forward(self, x):
        x = x.relu()
        return x * self.fc(x.mean((2, 3), keepdim=True)).clamp(0, 1)


class Channelwise(nn.Module):
    """A leaf of torch.nn with ReLUs inside, over the channels of each position."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.RNN(6, 6, nonlinearity="relu", batch_first=True)

    def forward(self, x):
        return self.inner(x.flatten(2).transpose(1, 2))[0].transpose(1, 2).view(x.shape).relu()


def own_relu_module() -> nn.Module:
    """A module that passes for PyTorch's, whose forward pass is another."""
    relu = nn.ReLU()
    relu.forward = lambda x: x.tanh()
    return relu


REFUSED = {
    "own Swish": (Swish(), "sigmoid"),
    "x * sigmoid(x)": (lambda x: x * x.sigmoid(), "sigmoid"),
    "x * (x > 0)": (lambda x: x * (x > 0), "gt"),
    "nn.RReLU": (nn.RReLU(), "RReLU"),
    "nn.Softsign": (nn.Softsign(), "Softsign"),
    "nn.PReLU": (nn.PReLU(), "PReLU"),
    "F.prelu": (lambda x: F.prelu(x, torch.full((1,), 0.1, dtype=torch.float64)), "prelu"),
    "leaky_relu": (F.leaky_relu, "leaky_relu"),
    "nn.ELU": (nn.ELU(), "ELU"),
    "nn.SiLU": (nn.SiLU(), "SiLU"),
    "F.gelu": (F.gelu, "gelu"),
    "F.hardswish": (F.hardswish, "hardswish"),
    "nn.Hardsigmoid": (nn.Hardsigmoid(), "Hardsigmoid"),
    "nn.Hardtanh": (nn.Hardtanh(), "Hardtanh"),
    "nn.Softplus": (nn.Softplus(), "Softplus"),
    "nn.Threshold(0.1, 0)": (nn.Threshold(0.1, 0), "Threshold"),
    "clamp(min=-1)": (lambda x: x.clamp(min=-1), "clamp"),
    "clamp(max=1)": (lambda x: x.clamp(max=1), "clamp"),
    "maximum of two": (lambda x: torch.maximum(x, -x), "maximum"),
    "where by others": (lambda x: torch.where(x > 0.2, x, 0.0), "where"),
    "where, leaky": (lambda x: torch.where(x > 0, x, x * 0.1), "where"),
    "abs": (torch.abs, "abs"),
    "a square": (lambda x: x**2, "pow"),
    "x * x": (lambda x: x * x, "product of feature maps"),
    "division": (lambda x: x / (1 + x.relu()), "division by feature maps"),
    "exp": (lambda x: x.exp(), "exp"),
    "sin": (torch.sin, "sin"),
    "softmax on the way": (lambda x: x.softmax(1), "softmax"),
    "nn.LPPool2d": (nn.LPPool2d(2, 1), "LPPool2d"),
    "nn.GLU": (lambda x: F.glu(torch.cat([x, x], 1), 1), "glu"),
    "a function of autograd": (Smooth.apply, "Smooth"),
    "squeeze and excitation": (Squeeze(), "product of feature maps"),
    "ReLUs inside a leaf": (Channelwise(), "RNN"),
    "another forward": (own_relu_module(), "ReLU (act and"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_bends_values_otherwise_is_refused_by_name(name):
    act, named = REFUSED[name]
    network = network_of(Acting(act))
    network(pixels())
    for explain in (cnnviz.guided_backprop, cnnviz.deconvnet):
        with pytest.raises(UsageError, match=f"rules for ReLU, but custom uses .*{re.escape(named)}"):
            explain(network, pixels(), 2)


def test_the_layer_is_named():
    with pytest.raises(UsageError, match=r"uses SiLU \(act and 1 more\)\."):
        cnnviz.guided_backprop(network_of(Acting(nn.SiLU())), pixels(), 2)


def test_no_rectifier_at_all_is_refused():
    network = network_of(Acting(nn.Identity()))
    with pytest.raises(UsageError, match=r"there is none between the pixels and its output of custom\."):
        cnnviz.guided_backprop(network, pixels(), 2)


def test_only_what_lies_before_the_layer_counts():
    network = network_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Tanh(), nn.Flatten()))
    network.labels = tuple(map(str, range(256)))

    def one(maps):
        return maps[0, 1, 2, 2]

    assert rectified_gradient(network, pixels(), one, "guided", "2").abs().max() > 0
    with pytest.raises(UsageError, match=r"Tanh \(3\)"):
        rectified_gradient(network, pixels(), one, "guided", "3")
    with pytest.raises(UsageError, match="none between the pixels and layer '0'"):
        rectified_gradient(network, pixels(), one, "guided", "0")


def test_what_only_orders_joins_or_normalizes_is_passed_over():
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.one, self.two, self.fc = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, padding=1), nn.Linear(24, 4)
            self.norm, self.group = nn.BatchNorm2d(6), nn.GroupNorm(2, 6)
            self.scale = nn.Parameter(torch.tensor(1.5))

        def forward(self, x):
            x = self.scale * self.norm(self.one((x - 0.45) / 0.22)).relu()
            left, right = self.group(F.dropout(self.two(x), training=self.training)).chunk(2, 1)
            x = F.relu(torch.cat([left.permute(0, 2, 3, 1).permute(0, 3, 1, 2), right.flip(1)], 1) + x[:, :, :, :] / 2)
            x = F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 2).roll(1, 2)
            x = torch.matmul(torch.eye(5, dtype=torch.float64), x)
            return torch.softmax(self.fc(F.avg_pool2d(x, 2, 2)[:, :, :, :4].reshape(x.size(0), -1)), 1)

    network, x = network_of(Plain().eval()), pixels()
    for rule, explain in {"guided": cnnviz.guided_backprop, "deconvnet": cnnviz.deconvnet}.items():
        torch.testing.assert_close(explain(network, x, 1), reference(network, x, 1, rule))


class WithContext(Smooth):
    """The same, written the other way that PyTorch knows, and called as most do."""

    @staticmethod
    def forward(x, limit):
        return x.clamp(min=limit)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0].abs(), None


@pytest.mark.parametrize("act", [Smooth.apply, lambda x: WithContext.apply(x, 0.0)])
def test_the_graph_has_the_gradient_of_a_function_of_autograd(act):
    network, x = network_of(Acting(act)), pixels()
    seen = x.clone().requires_grad_()
    expected = torch.autograd.grad(network.module(seen)[:, 2].sum(), seen)[0]
    graph_seen = x.clone().requires_grad_()
    found = torch.autograd.grad(network.graph(graph_seen)[:, 2].sum(), graph_seen)[0]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["regnet_y_400mf", "efficientnet_v2_s"])
def test_networks_with_gates_are_refused(name):
    import torchvision

    network = Network(getattr(torchvision.models, name)(), name=name)
    with pytest.raises(UsageError, match=r"product of feature maps|SiLU"):
        cnnviz.guided_backprop(network, torch.rand(1, 3, 64, 64))


def test_attention_is_refused():
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.fc = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 4)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            tokens = self.one(x).relu().flatten(2).transpose(1, 2)
            return self.fc(self.attention(tokens, tokens, tokens)[0].mean(1))

    with pytest.raises(UsageError, match="custom is a transformer"):
        cnnviz.guided_backprop(network_of(Attending()), pixels(), 1)


@pytest.mark.parametrize("place", ["one", "act"])
def test_hooks_that_change_values_are_refused_and_others_are_not(place):
    module = Acting(nn.ReLU())
    expected = cnnviz.guided_backprop(network_of(module), pixels(), 1)
    kept = []
    part = getattr(module, place)
    part.register_forward_hook(lambda module, args, output: kept.append(output.shape))
    assert torch.equal(cnnviz.guided_backprop(network_of(module), pixels(), 1), expected)
    assert kept
    part.register_forward_hook(lambda module, args, output: output.sigmoid())
    with pytest.raises(UsageError, match=rf"a hook on {type(part).__name__} \({place}"):
        cnnviz.guided_backprop(network_of(module), pixels(), 1)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_hooks_that_make_a_weight_are_followed():
    module = Acting(nn.ReLU())
    expected = cnnviz.guided_backprop(network_of(module), pixels(), 1)
    nn.utils.weight_norm(module.one)
    found = network_of(module)
    torch.testing.assert_close(cnnviz.guided_backprop(found, pixels(), 1), expected)
    with torch.no_grad():
        module.one.weight_g *= 2
    assert not torch.allclose(cnnviz.guided_backprop(found, pixels(), 1), expected)
