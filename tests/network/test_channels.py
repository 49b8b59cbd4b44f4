"""Networks of any number of input channels."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import cnnviz
from cnnviz.attribution.registry import METHODS
from cnnviz.errors import ModelError, UsageError
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec


def tiny(channels: int) -> Network:
    """A network of ``channels`` channels and three classes, for images of 32 pixels."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
    )
    model.append(nn.Flatten()).append(nn.Linear(8, 3))
    mean, std = tuple(0.1 * (n + 1) for n in range(channels)), (0.5,) * channels
    return Network(model, spec=InputSpec(size=32, channels=channels, mean=mean, std=std))


def pixels(channels: int, count: int = 2) -> torch.Tensor:
    return torch.rand(count, channels, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("channels", [1, 2, 4, 13])
def test_each_channel_is_normalized_by_its_own_mean_and_std(channels):
    network, images = tiny(channels), pixels(channels)
    mean = torch.tensor(network.spec.mean).view(1, -1, 1, 1)
    assert torch.allclose(network(images), network.module((images - mean) / 0.5), atol=1e-6)
    assert network.classes == 3 and network.layer_table()[0].shape == (8, 32, 32)
    assert network.activation_count((32, 32)) == sum(
        torch.Size(layer.shape).numel() for layer in network.layer_table((32, 32))
    )


@pytest.mark.parametrize("name", METHODS)
def test_every_attribution_method_explains_four_channels(name):
    network, images = tiny(4), pixels(4)
    settings = METHODS[name].accepted(steps=4, samples=2, patch=8, stride=8)
    found = METHODS[name].attribute(network, images, 1, **settings)
    assert found.shape[0] == 2 and found.shape[1] in (1, 4) and found.shape[2:] == (32, 32)
    assert METHODS[name](network, images, 1, **settings).shape == (2, 1, 32, 32)


def test_the_map_of_a_channel_the_network_does_not_read_is_zero():
    network = tiny(4)
    with torch.no_grad():
        network.module[0].weight[:, 3] = 0
    gradient = cnnviz.input_x_gradient(network, pixels(4), 0)
    assert gradient[:, 3].abs().max() == 0 and gradient[:, :3].abs().max() > 0


def test_attacks_change_all_channels_within_epsilon():
    network, images = tiny(4), pixels(4, 1)
    changed = cnnviz.fgsm(network, images, 0.1)
    assert (changed - images).abs().amax((0, 2, 3)).tolist() == pytest.approx([0.1] * 4, abs=1e-6)
    assert cnnviz.deepfool(network, images).shape == images.shape
    assert cnnviz.universal_perturbation(network, images, passes=1).shape == images.shape


def test_a_gray_network_takes_rgb_and_gray():
    network, rgb = tiny(1), pixels(3)
    luma = (rgb * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    assert torch.allclose(network(rgb), network(luma), atol=1e-6)
    assert cnnviz.saliency(network, luma, 0).shape == (2, 1, 32, 32)


@pytest.mark.parametrize(
    ("wanted", "given", "message"),
    [
        (4, 3, r"\(N, 4, H, W\).*they have 3 channels, and 4 channels are wanted"),
        (3, 4, r"\(N, 3, H, W\).*they have 4 channels, and 3 channels are wanted"),
        (1, 2, r"\(N, 1, H, W\) or \(N, 3, H, W\).*they have 2 channels, and 1 channel is wanted"),
        (3, 1, r"expand\(-1, 3, -1, -1\)"),
    ],
)
def test_another_number_of_channels_is_an_error_with_both_numbers(wanted, given, message):
    for function in (Network.__call__, cnnviz.saliency, cnnviz.occlusion, Network.predict):
        with pytest.raises(UsageError, match=message):
            function(tiny(wanted), pixels(given))


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "lenet5"])
def test_random_weights_are_made_for_any_number_of_channels(name):
    network = cnnviz.load_network(name, "random", channels=5)
    images = torch.rand(1, 5, 64 if name != "lenet5" else 32, 64 if name != "lenet5" else 32)
    assert network.spec.channels == 5 and network.spec.mean == (0,) * 5
    gradient = cnnviz.input_x_gradient(network, images, 0)[0]
    assert (gradient.abs().amax((1, 2)) > 0).all()
    first = next(part for part in network.module.modules() if isinstance(part, nn.Conv2d)).weight
    assert not torch.equal(first[:, 0], first[:, 3])


def test_a_file_of_weights_tells_its_channels(tmp_path):
    made = cnnviz.load_network("resnet18", "random", labels=("a", "b"), channels=4)
    torch.save(made.module.state_dict(), tmp_path / "four.pth")
    given = {"mean": (0.5,) * 4, "std": (0.5,) * 4}
    network = cnnviz.load_network("resnet18", tmp_path / "four.pth", ("a", "b"), channels=4, **given)
    images = torch.rand(1, 4, 64, 64)
    assert network.spec.channels == 4
    assert torch.allclose(network(images), made.module((images - 0.5) / 0.5), atol=1e-5)
    with pytest.raises(UsageError, match="4 numbers for the mean and 4 for the std"):
        cnnviz.load_network("resnet18", tmp_path / "four.pth", ("a", "b"))
    with pytest.raises(ModelError, match=r"'four.pth' takes images of 4 channels, not of 5"):
        cnnviz.load_network("resnet18", tmp_path / "four.pth", ("a", "b"), channels=5, **given)
    with pytest.raises(ModelError, match=r"'embedded' takes images of 3 channels, not of 4"):
        cnnviz.load_network("squeezenet1_1", channels=4)


def test_a_module_of_other_channels_is_explained():
    module = tiny(4).module
    for labels in (None, ("a", "b", "c")):
        with pytest.raises(ModelError, match=r"takes 4 channels, not 3: its images are of channels=4"):
            cnnviz.Network(module, labels=labels)(pixels(3))
    assert cnnviz.Network(module, channels=4).spec.channels == 4


def test_a_function_of_ones_own_need_not_say_its_channels(tmp_path):
    code = "def build():\n    from torch import nn\n    pool = nn.AdaptiveAvgPool2d(1)\n"
    code += "    return nn.Sequential(nn.Conv2d(6, 3, 3), pool, nn.Flatten())\n"
    (tmp_path / "net.py").write_text(code)
    for labels in (None, ("a", "b", "c")):
        network = cnnviz.load_network(f"{tmp_path}/net.py:build", labels=labels, trust=True)
        assert network.spec.channels == 6 and network.classes == 3
    with pytest.raises(ModelError, match="takes 6 channels, not 4"):
        cnnviz.load_network(f"{tmp_path}/net.py:build", channels=4, trust=True)
