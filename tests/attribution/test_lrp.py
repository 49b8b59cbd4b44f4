"""LRP against captum by hand on an untouched copy with module ReLUs, and by its conservation sum."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from captum.attr import LRP
from captum.attr._utils.custom_modules import Addition_Module
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, GammaRule, IdentityRule
from torch import nn
from torch.nn import functional as F

import cnnviz
from cnnviz.attribution.lrp import conservation_error
from cnnviz.errors import UsageError
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec

SIZE = 20
PIXELS = torch.rand(2, 3, SIZE, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


class Functional(nn.Module):
    """ReLUs that are functions, in place, and one module called twice; a shortcut; max and average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3)
        self.norm, self.head, self.act = nn.BatchNorm2d(6), nn.Linear(6, 4), nn.ReLU(inplace=True)

    def forward(self, x):
        x = F.max_pool2d(self.act(self.norm(self.one(x))), 3, 2)
        x = x + F.relu(self.two(x), inplace=True)
        x = F.adaptive_avg_pool2d(self.act(self.three(x)), 1)
        return self.head(torch.flatten(x, 1))


class Plain(Functional):
    """Without batch normalization and shortcut."""

    def forward(self, x):
        x = F.max_pool2d(self.act(self.one(x)), 3, 2)
        x = F.relu(self.two(x), inplace=True)
        x = F.adaptive_avg_pool2d(self.act(self.three(x)), 1)
        return self.head(torch.flatten(x, 1))


class Modules(Functional):
    """``Functional`` for captum, each operation a module of its own, with the rules that cnnviz gives them."""

    convolution = Alpha1_Beta0_Rule(set_bias_to_zero=True)

    def __init__(self) -> None:
        super().__init__()
        del self.act
        self.a, self.b, self.c = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.pool, self.mean, self.plus = nn.MaxPool2d(3, 2), nn.AdaptiveAvgPool2d(1), Addition_Module()

    def with_rules(self):
        for layer in (self.one, self.head):
            layer.rule = GammaRule(0.0, set_bias_to_zero=True)
        for layer in (self.two, self.three):
            layer.rule = copy.deepcopy(self.convolution)
        self.norm.rule = IdentityRule()
        return self

    def forward(self, x):
        x = self.pool(self.a(self.norm(self.one(x))))
        x = self.plus(x, self.b(self.two(x)))
        return self.head(torch.flatten(self.mean(self.c(self.three(x))), 1))


class PlainModules(Modules):
    """The same of ``Plain``."""

    convolution = GammaRule(0.25, set_bias_to_zero=True)

    def forward(self, x):
        x = self.pool(self.a(self.one(x)))
        x = self.b(self.two(x))
        return self.head(torch.flatten(self.mean(self.c(self.three(x))), 1))


def made(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(3)
    return kind().double().eval()


def network_of(module: nn.Module) -> Network:
    return Network(module, spec=InputSpec(mean=(0, 0, 0), std=(1, 1, 1), size=SIZE, fixed=True))


@pytest.mark.parametrize(("ours", "captums"), [(Functional, Modules), (Plain, PlainModules)])
def test_it_is_captums_on_a_copy_with_modules_and_leaves_the_module_alone(ours, captums):
    module, copied = made(ours), made(captums)
    copied.load_state_dict(module.state_dict())
    before = copy.deepcopy(module.state_dict())
    found = cnnviz.lrp(network_of(module), PIXELS, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(2):
            reference = LRP(copied.with_rules()).attribute(PIXELS[number : number + 1].clone(), target=1)
            torch.testing.assert_close(found[number : number + 1], reference, rtol=1e-5, atol=1e-7)
            copied = made(captums)  # captum's leave their activations behind
            copied.load_state_dict(module.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not any(each._forward_hooks or each._backward_hooks or hasattr(each, "rule") for each in module.modules())


def test_the_score_is_conserved_also_of_a_contrast_and_of_what_speaks_against():
    network = network_of(made(Functional))
    for target in (1, "-class 1", cnnviz.Versus(1, 3)):
        found = cnnviz.lrp(network, PIXELS, target)
        assert conservation_error(network, PIXELS, found, target).max() < 1e-4


def test_deep_shortcuts_and_batch_normalization_conserve_the_score():
    """By gamma, shares of bottlenecks that end in outputs of both signs grow to 1e9 times the score."""
    from torchvision.models.resnet import Bottleneck, ResNet

    torch.manual_seed(0)
    module = ResNet(Bottleneck, [2, 2, 2, 2], num_classes=10)
    for each in module.modules():
        if isinstance(each, nn.BatchNorm2d):
            nn.init.uniform_(each.weight, 0.3, 1.2)
            nn.init.normal_(each.bias, 0, 0.3)
    network = Network(module, size=64)
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    found = cnnviz.lrp(network, pixels, 1)
    assert conservation_error(network, pixels, found, 1).max() < 1e-3


def test_what_has_no_rule_is_refused_by_name():
    class Gate(nn.Module):
        def forward(self, x):
            return (x * x.mean((2, 3), keepdim=True).sigmoid()).mean((2, 3))

    with pytest.raises(UsageError, match="no rule for a product of feature maps"):
        cnnviz.lrp(network_of(Gate()), PIXELS)
    with pytest.raises(UsageError, match="explains a class"):
        cnnviz.lrp(network_of(made(Functional)), PIXELS, lambda logits: logits[:, 0])
    lost = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Softplus(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    nn.init.zeros_(lost[0].weight)  # the score is the bias's alone
    with pytest.raises(UsageError, match="does not conserve the score"):
        cnnviz.lrp(network_of(lost.double()), PIXELS)
