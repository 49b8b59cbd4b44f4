"""DeepLIFT against captum on an untouched copy with module ReLUs, and by its sum."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from captum.attr import DeepLift
from torch import nn
from torch.nn import functional as F

import cnnviz
from cnnviz.attribution.integrated_gradients import completeness_error
from cnnviz.errors import UsageError
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec

SIZE = 20
PIXELS = torch.rand(2, 3, SIZE, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
BASELINE = torch.rand(1, 3, SIZE, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


class Functional(nn.Module):
    """ReLUs that are functions, in place, and one module called twice; a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3)
        self.norm, self.head, self.act = nn.BatchNorm2d(6), nn.Linear(6, 4), nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.act(self.norm(self.one(x)))
        x = x + F.relu(self.two(x), inplace=True)
        x = self.act(self.three(x))
        return self.head(x.mean((2, 3)))


class Modules(Functional):
    """The same, each ReLU a module of its own, as captum needs it."""

    def __init__(self) -> None:
        super().__init__()
        del self.act
        self.a, self.b, self.c = nn.ReLU(), nn.ReLU(), nn.ReLU()

    def forward(self, x):
        x = self.a(self.norm(self.one(x)))
        x = x + self.b(self.two(x))
        x = self.c(self.three(x))
        return self.head(x.mean((2, 3)))


def made(kind: type[nn.Module], *arguments: object) -> nn.Module:
    torch.manual_seed(3)
    return kind(*arguments).double().eval()


class Pooled(nn.Module):
    def __init__(self, *pooling: object) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.MaxPool2d(*pooling), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.GELU())
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        return self.head(F.max_pool2d(self.body(x), 2).mean((2, 3)))


def network_of(module: nn.Module) -> Network:
    return Network(module, spec=InputSpec(mean=(0, 0, 0), std=(1, 1, 1), size=SIZE, fixed=True))


def test_it_is_captums_on_a_copy_with_module_relus_and_leaves_the_module_alone():
    module, copied = made(Functional), made(Modules)
    copied.load_state_dict(module.state_dict())
    before = copy.deepcopy(module.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for baseline, start in (("black", torch.zeros_like(PIXELS)), (BASELINE, BASELINE.expand_as(PIXELS))):
            reference = DeepLift(copied).attribute(PIXELS, start, target=1)
            torch.testing.assert_close(cnnviz.deeplift(network_of(module), PIXELS, 1, baseline=baseline), reference)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not any(each._forward_hooks or each._backward_hooks for each in module.modules())
    assert all(p.grad is None and p.requires_grad for p in module.parameters())


@pytest.mark.parametrize("pooling", [(2,), (3, 2), (3, 2, 1), (3, 1)], ids=str)
def test_with_max_pooling_of_any_kind_the_shares_sum_to_the_difference(pooling):
    network = network_of(made(Pooled, *pooling))
    for target in (1, "-class 1", cnnviz.Versus(1, 3)):
        found = cnnviz.deeplift(network, PIXELS, target, baseline=BASELINE)
        assert completeness_error(network, PIXELS, found, target, BASELINE.expand_as(PIXELS)).max() < 1e-8


def test_networks_with_operations_that_have_no_rule_are_refused_by_name():
    gated = made(nn.Sequential, nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(UsageError, match=r"no rule for GroupNorm \(1\)"):
        cnnviz.deeplift(network_of(gated), PIXELS)

    class Gate(nn.Module):
        def forward(self, x):
            return (x * x.mean((2, 3), keepdim=True).sigmoid()).mean((2, 3))

    with pytest.raises(UsageError, match="a product of feature maps"):
        cnnviz.deeplift(network_of(Gate()), PIXELS)


def test_a_score_that_the_rules_do_not_cover_is_refused():
    with pytest.raises(UsageError, match="do not sum to the score"):
        cnnviz.deeplift(network_of(made(Functional)), PIXELS, lambda logits: logits[:, 0].mul(8).exp())
