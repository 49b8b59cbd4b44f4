"""Guided backprop and deconvnet: captum's where captum is right, a reference of our own where it is not."""

from __future__ import annotations

import warnings

import pytest
import torch
from captum.attr import Deconvolution, GuidedBackprop
from torch import nn
from torch.overrides import TorchFunctionMode

import cnnviz
from cnnviz.attribution.guided_backprop import neuron_activation
from cnnviz.errors import UsageError
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec


class GuidedRelu(torch.autograd.Function):
    """The rule as the paper states it."""

    @staticmethod
    def forward(ctx, value):
        ctx.save_for_backward(value)
        return value.clamp_min(0)

    @staticmethod
    def backward(ctx, gradient):
        (value,) = ctx.saved_tensors
        return torch.where((value > 0) & (gradient > 0), gradient, torch.zeros_like(gradient))


class EveryRelu(TorchFunctionMode):
    """Intercepts every call of relu on its way through torch, however it was written."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in (torch.relu, torch.relu_, torch.nn.functional.relu, torch.Tensor.relu, torch.Tensor.relu_):
            return GuidedRelu.apply(args[0])
        return function(*args, **(kwargs or {}))


def reference(network: Network, pixels: torch.Tensor, target: int) -> torch.Tensor:
    pixels = pixels.clone().requires_grad_()
    relus = [module for module in network.module.modules() if isinstance(module, torch.nn.ReLU)]
    hooks = [relu.register_forward_hook(lambda *_: None) for relu in relus]  # which keep each ReLU in its place
    with EveryRelu():
        score = network.module(network.normalize(pixels))[:, target].sum()
    for hook in hooks:
        hook.remove()
    return torch.autograd.grad(score, pixels)[0]


def captums(kind, network: Network, pixels: torch.Tensor, target: int) -> torch.Tensor:
    """captum works on the module; its gradient with respect to normalized input, carried on to pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = kind(network.module).attribute(network.normalize(pixels).requires_grad_(), target=target)
    return found / torch.tensor(network.spec.std).view(1, 3, 1, 1)


def close(found, expected) -> bool:
    return bool((found - expected).abs().max() <= 1e-5 * expected.abs().max())


def loaded(model: str) -> Network:
    return cnnviz.load_network(model, weights=None if model == "squeezenet1_1" else "random", device="cpu")


@pytest.mark.parametrize("model", ["squeezenet1_1", "vgg11", "resnet18"])
def test_captums_where_every_relu_is_a_module(model, chelsea):
    network, pixels = loaded(model), chelsea[..., 40:136, 90:200]
    ours = cnnviz.guided_backprop(network, pixels, 281)
    assert close(ours, captums(GuidedBackprop, network, pixels, 281))
    assert close(cnnviz.deconvnet(network, pixels, 281), captums(Deconvolution, network, pixels, 281))
    assert close(ours, reference(network, pixels, 281))


@pytest.mark.parametrize("model", ["googlenet", "densenet121"])
def test_right_where_captum_misses_functional_relus(model, chelsea):
    """captum sees modules only: on GoogLeNet it gives the plain gradient, on DenseNet it misses the last ReLU."""
    network, pixels = loaded(model), chelsea[..., 40:136, 90:200]
    ours = cnnviz.guided_backprop(network, pixels, 281)
    expected = reference(network, pixels, 281)
    assert close(ours, expected)
    theirs = captums(GuidedBackprop, network, pixels, 281)
    assert not close(theirs, expected)


class Reused(nn.Module):
    """One ReLU module used twice, an in-place function, ReLU6 as a module and hardtanh as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.act, self.six = nn.ReLU(inplace=True), nn.ReLU6(inplace=True)

    def forward(self, x):
        x = self.act(self.two(self.act(self.one(x))))
        x = torch.nn.functional.relu(self.three(x) * 3, inplace=True)
        x = self.six(self.one(x) * 20)
        return torch.nn.functional.hardtanh(x - 3, 0.0, 2.0).mean((2, 3))


def test_every_kind_of_rectifier_by_hand():
    torch.manual_seed(0)
    network = Network(Reused().double(), spec=InputSpec(size=8, mean=(0.0,) * 3, std=(1.0,) * 3))
    pixels = torch.rand(1, 3, 8, 8, dtype=torch.float64)

    def pass_through(value, low, high=float("inf")):
        """A rectifier whose gradient is kept where value is inside, by a hook that drops negative gradients."""
        out = value.clamp(low, high)
        out.register_hook(lambda g: g.clamp_min(0))
        return out

    leaf, m = pixels.clone().requires_grad_(), network.module
    x = pass_through(m.two(pass_through(m.one(leaf), 0)), 0)
    x = pass_through(m.three(x) * 3, 0)
    x = pass_through(pass_through(m.one(x) * 20, 0, 6) - 3, 0, 2)
    expected = torch.autograd.grad(x.mean((2, 3))[0, 1], leaf)[0]
    assert expected.abs().max() > 0
    torch.testing.assert_close(cnnviz.guided_backprop(network, pixels, 1), expected)


@pytest.mark.parametrize("method", [cnnviz.guided_backprop, cnnviz.deconvnet])
def test_a_later_pass_is_the_same_and_meets_hooks(method):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten())
    network = Network(model, spec=InputSpec(size=8), optimize=True)
    images = [torch.rand(1, 3, 8, 8) for _ in range(3)]
    expected = [method(Network(model, spec=InputSpec(size=8)), image, 0) for image in images]
    for image, each in zip(images, expected, strict=True):
        torch.testing.assert_close(method(network, image, 0), each)
    network.module[2].register_forward_hook(lambda module, given, output: output.sigmoid())
    with pytest.raises(UsageError, match="a hook on Conv2d"):
        method(network, images[0], 0)


@pytest.mark.parametrize(
    ("model", "named"), [("efficientnet_b0", "SiLU"), ("convnext_tiny", "GELU"), ("mobilenet_v3_small", "Hardswish")]
)
def test_other_activations_are_refused_by_name(model, named):
    network = cnnviz.load_network(model, weights="random")
    with pytest.raises(UsageError, match=named):
        cnnviz.guided_backprop(network, torch.rand(1, 3, 64, 64))


def test_relu6_networks_are_taken(chelsea):
    network = cnnviz.load_network("mobilenet_v2", weights="random")
    assert cnnviz.guided_backprop(network, chelsea[..., :64, :64]).abs().max() > 0


def test_command_for_a_class_and_a_neuron(run_cnnviz, samples, tmp_path):
    import json

    from PIL import Image

    net = ("-m", "squeezenet1_1")
    assert run_cnnviz("guided", samples / "chelsea.png", *net, "--raw", "-o", "a.png").exit_code == 0
    assert Image.open(tmp_path / "a.png").size == (451, 300)
    neuron = ("--layer", "fire5", "--channel", 17)
    record = json.loads(run_cnnviz("guided", samples / "chelsea.png", *net, *neuron, "--json", "-o", "b.png").stdout)
    assert (record["layer"], record["channel"]) == ("fire5", 17)
    placed = ("--at", ",".join(map(str, record["at"])))
    again = json.loads(
        run_cnnviz("guided", samples / "chelsea.png", *net, *neuron, *placed, "--json", "-o", "c.png").stdout
    )
    assert again["activation"] == record["activation"]
    for wrong, message in {
        ("--channel", "3"): "Name it with --layer",
        ("--layer", "fire5"): "--layer fire5 --channel 17",
        ("--layer", "fire5", "--channel", "999"): "channels 0 to 255",
        ("--layer", "fire5", "--channel", "1", "--at", "900,0"): "is outside",
        ("--layer", "fire5", "--channel", "1", "--at", "x"): "as in 6,9",
        ("--layer", "flatten", "--channel", "1"): "is no map",
    }.items():
        result = run_cnnviz("guided", samples / "chelsea.png", *net, *wrong, "-o", "d.png")
        assert result.exit_code == 2
        assert message in result.stderr


def test_a_neuron_is_found_where_its_channel_is_strongest(squeezenet, chelsea):
    maps = squeezenet.features(chelsea, ["fire5"])["fire5"][0, 17]
    position, activation = neuron_activation(squeezenet, chelsea, "fire5", 17)
    assert activation == pytest.approx(float(maps.max()))
    assert float(maps[position]) == pytest.approx(activation)
    assert neuron_activation(squeezenet, chelsea, "fire5", 17, (0, 1)) == ((0, 1), pytest.approx(float(maps[0, 1])))
    for channel, outside in ((10_000, None), (-1, None), (17, (0, 10_000)), (17, (-1, 0))):
        with pytest.raises(UsageError, match=r"there is no|is outside"):
            neuron_activation(squeezenet, chelsea, "fire5", channel, outside)
