"""A network's output is finite logits, or an error describes it."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import cnnviz
from cnnviz.errors import ModelError, UsageError
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec

SPEC = InputSpec(size=8, mean=(0.0,) * 3, std=(1.0,) * 3)
PIXELS = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
WAYS = {
    "called": lambda network: network(PIXELS),
    "logits": lambda network: network.logits(PIXELS),
    "predict": lambda network: network.predict(PIXELS),
    "saliency": lambda network: cnnviz.saliency(network, PIXELS, 0),
    "grad_cam": lambda network: cnnviz.grad_cam(network, PIXELS, 0, layer="body.0"),
    "guided": lambda network: cnnviz.guided_backprop(network, PIXELS, 0),
    "occlusion": lambda network: cnnviz.occlusion(network, PIXELS, 0, patch=4, stride=4),
}


class Giving(nn.Module):
    """A small classifier of ``classes``, whose logits are ``wrapped`` into something else."""

    def __init__(self, wrapped=lambda logits: logits, classes: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(4, classes)
        self.wrapped = wrapped

    def forward(self, x):
        return self.wrapped(self.head(self.body(x).mean((2, 3))))


Outputs = namedtuple("Outputs", "logits aux")
WRONG = {
    r"2 outputs, \[0\] \(2, 3\) and \[1\] \(2, 3\)": lambda y: (y, y),
    r"2 outputs, \[0\] \(2, 3\) and \[1\] .2, 3.": lambda y: [y, y],
    r"2 outputs, 'out' \(2, 3\) and 'aux' \(2, 3\): say which": lambda y: {"out": y, "aux": y},
    r"2 outputs, 'logits' \(2, 3\) and 'aux' \(2, 3\)": lambda y: Outputs(y, y),
    "2 outputs, 'logits' .* and 'hidden'": lambda y: OrderedDict(logits=y, hidden=y),
    r"a map of the shape \(2, 3, 1, 1\)": lambda y: y[:, :, None, None],
    r"a map of the shape \(2, 3, 5, 5\).* segment": lambda y: y[:, :, None, None].expand(-1, -1, 5, 5),
    r"a tensor of the shape \(6,\).*Keep the first axis": lambda y: y.repeat(2, 1).flatten()[:6],
    r"a tensor of the shape \(2, 3, 7\)": lambda y: y[:, :, None].expand(-1, -1, 7),
    r"the type torch.int64": lambda y: y.long(),
    r"logits for 4 images where 2 were given": lambda y: torch.cat([y, y]),
}


@pytest.mark.parametrize("drop", [lambda y: y[:, 0], lambda y: y[:, :1].squeeze()])
def test_one_logit_needs_no_axis_of_classes(drop):
    torch.manual_seed(0)
    module = Giving(drop)
    network = Network(module, labels=("tumor",), spec=SPEC)
    kept = Network(Giving(lambda y: y[:, :1]), labels=("tumor",), spec=SPEC)
    kept.module.load_state_dict(module.state_dict())
    pixels = torch.rand(2, 3, 20, 20)
    for each in (pixels, pixels[:1]):
        assert torch.equal(network(each), kept(each)) and network(each).shape == (len(each), 1)
        occluded = partial(cnnviz.occlusion, patch=8)
        for technique in (cnnviz.saliency, cnnviz.grad_cam, occluded, cnnviz.guided_backprop):
            assert torch.equal(technique(network, each), technique(kept, each))
    assert network.predict(pixels) == kept.predict(pixels)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_logits_is_named_whichever_way_it_comes(what, way):
    network = Network(Giving(WRONG[what]), labels=("a", "b", "c"), spec=SPEC)
    with pytest.raises(ModelError, match=what if way == "called" else None):
        WAYS[way](network)


@pytest.mark.parametrize("what", list(WRONG)[:-1])
def test_what_comes_instead_of_logits_is_said(what):
    with pytest.raises(ModelError, match=what.replace("(2", "(1").replace(".2,", ".1,")):
        Network(Giving(WRONG[what]), spec=SPEC)


@pytest.mark.parametrize("way", WAYS)
def test_labels_of_the_wrong_number_are_counted(way):
    network = Network(Giving(), labels=("cat", "dog"), spec=SPEC)
    with pytest.raises(UsageError, match="name 2 classes, but the network has 3"):
        WAYS[way](network)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("holds", ["NaN", "infinite values"])
def test_the_first_weight_that_is_not_finite_is_named(holds, way):
    module = Giving()
    network = Network(module, labels=("a", "b", "c"), spec=SPEC)
    with torch.no_grad():
        network.module.body[0].weight[1, 2, 0, 0] = torch.nan if holds == "NaN" else torch.inf
        network.module.head.bias[1] = torch.nan
    with pytest.raises(ModelError, match=f"'body.0.weight' holds {holds}"):
        WAYS[way](network)


@pytest.mark.parametrize("tensor", ["body.0.bias", "head.weight", "norm.running_var"])
def test_a_module_with_weights_that_are_not_finite_is_refused(tensor):
    module = Giving()
    module.norm = nn.BatchNorm2d(4)
    value = dict([*module.named_parameters(), *module.named_buffers()])[tensor]
    value.data.view(-1)[0] = torch.inf
    with pytest.raises(ModelError, match=f"'{tensor}' holds infinite values"):
        Network(module, labels=("a", "b", "c"), spec=SPEC)


def test_a_mask_may_be_infinite():
    module = Giving()
    module.register_buffer("mask", torch.full((4, 4), -torch.inf).triu(1))
    assert Network(module, spec=SPEC).classes == 3


@pytest.mark.parametrize("way", ["called", "logits", "predict", "saliency", "guided", "occlusion"])
def test_the_first_layer_that_overflows_is_named(way):
    module = Giving(classes=3)
    with torch.no_grad():
        module.head.weight.fill_(3e38)
        module.body[0].bias.fill_(5)
    network = Network(module, labels=("a", "b", "c"), spec=SPEC)
    with pytest.raises(ModelError, match=r"output of layer 'head' of custom holds .*, though its weights are finite"):
        WAYS[way](network)


def test_features_that_overflow_are_an_error():
    module = Giving()
    with torch.no_grad():
        module.body[0].bias.fill_(3e38)
        module.body[0].weight.fill_(3e38)
    network = Network(module, labels=("a", "b", "c"), spec=SPEC)
    with pytest.raises(ModelError, match=r"layer 'body\.0'"):
        network.features(PIXELS, ["body.1"])


def test_the_probability_of_one_logit_is_its_sigmoid():
    network = Network(Giving(classes=1), labels=("tumor",), spec=SPEC)
    logits = network(PIXELS)
    ((index, label, probability),) = network.predict(PIXELS)[0]
    assert (index, label) == (0, "tumor")
    assert probability == pytest.approx(float(logits[0, 0].sigmoid()))
    assert 0.05 < probability < 0.95


def test_occlusion_of_one_logit_watches_its_sigmoid():
    network = Network(Giving(classes=1), spec=SPEC)
    found = cnnviz.occlusion(network, PIXELS[:1], patch=4, stride=4, fill="black")
    hidden = PIXELS[:1].clone()
    hidden[:, :, :4, :4] = 0
    drop = float((network(PIXELS[:1]).sigmoid() - network(hidden).sigmoid())[0, 0].detach())
    assert abs(drop) > 1e-3
    assert float(found[0, 0, 0, 0]) == pytest.approx(drop, rel=1e-3)


def test_curves_of_one_logit_are_of_its_sigmoid():
    network = Network(Giving(classes=1), spec=SPEC)
    curve = cnnviz.deletion_curve(network, PIXELS[:1], PIXELS[:1, :1], steps=4)
    assert float(curve.probabilities[0, 0]) == pytest.approx(float(network(PIXELS[:1]).sigmoid().detach()))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"channels": 1}, "channels=1 the mean needs one finite number"),
        ({"channels": 1, "mean": (0.5,)}, "channels=1 the std needs one finite number"),
        ({"mean": (0.5,)}, "channels=3 the mean needs 3 finite numbers"),
        ({"mean": (0.5, 0.5, float("nan"))}, "finite"),
        ({"mean": 0.5}, "must be numbers, one for each channel"),
        ({"std": (1.0, 0.0, 1.0)}, "must be positive"),
        ({"channels": 0}, "not 0"),
        ({"channels": 4}, "4 finite numbers"),
    ],
)
def test_a_normalization_that_does_not_fit_the_channels_is_refused(fields, message):
    with pytest.raises(UsageError, match=message):
        InputSpec(**fields)


def test_a_normalization_may_be_a_numpy_array():
    network = cnnviz.load_network(
        "squeezenet1_1", device="cpu", mean=np.array([0.5, 0.4, 0.3]), std=torch.tensor([0.2, 0.3, 0.4])
    )
    assert network.spec.mean == pytest.approx((0.5, 0.4, 0.3))
    assert network.spec.std == pytest.approx((0.2, 0.3, 0.4))


@pytest.mark.parametrize("other", [None, lambda x: x, nn.Module])
def test_what_is_no_module_is_refused_in_one_sentence(other):
    with pytest.raises(UsageError, match="A network is made of"):
        Network(other)


def test_gray_networks_take_a_mean_of_their_own():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 2))
    network = Network(module, spec=InputSpec(size=8, channels=1, mean=[0.4], std=torch.tensor([0.2])))
    luma = (PIXELS * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(network(PIXELS), module((luma - 0.4) / 0.2))


def test_networks_can_be_transformed_by_torch_func():
    network = Network(Giving(), labels=("a", "b", "c"), spec=SPEC)
    torch.testing.assert_close(torch.func.vmap(lambda one: network(one[None])[0])(PIXELS), network(PIXELS))
    rows = torch.func.jacrev(network)(PIXELS[:1])[0, :, 0]
    torch.testing.assert_close(rows[1], cnnviz.input_x_gradient(network, PIXELS[:1], 1)[0] / PIXELS[0])


def test_one_logit_has_one_label():
    network = Network(Giving(classes=1), labels=("cat", "dog"), spec=SPEC)
    with pytest.raises(UsageError, match=r"name 2 classes, but the network has 1 \(one logit"):
        network.predict(PIXELS)
