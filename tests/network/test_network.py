"""Networks: features by any name, nothing deeper than asked for, no gradients of weights, precision."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import cnnviz
from cnnviz.errors import ImageError, UsageError
from cnnviz.network.network import Network
from cnnviz.network.network_transforms import with_average_pooling
from cnnviz.network.spec import InputSpec


class Tiny(nn.Module):
    """Two convolutions with an in-place activation between them, as torchvision's networks have."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.act = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(4, 5, 3)
        self.calls = 0

    def forward(self, x):
        x = self.act(self.first(x))
        x = torch.nn.functional.relu(self.second(x), inplace=True)
        return x.mean((2, 3))


@pytest.fixture
def tiny() -> Network:
    torch.manual_seed(0)
    return Network(Tiny(), spec=InputSpec(size=16, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)))


def test_features_equal_the_layers_own_outputs_despite_in_place_activations(tiny):
    pixels = torch.rand(2, 3, 16, 16)
    found = tiny.features(pixels, ["first", "act", "second"])
    first = tiny.module.first(pixels)
    assert (first < 0).any()
    torch.testing.assert_close(found["first"], first)
    torch.testing.assert_close(found["act"], first.relu())
    second = tiny.module.second(first.relu())
    assert (second < 0).any()
    torch.testing.assert_close(found["second"], second)


def test_features_compute_nothing_deeper_than_asked(squeezenet):
    squeezenet.features(torch.rand(1, 3, 64, 64), ["fire3"])
    nodes = {str(node.target) for node in squeezenet.truncated({"fire3": "fire3"}).graph.nodes}
    assert "features.4.squeeze" in nodes
    assert not any(name.startswith(("features.5", "features.12", "classifier")) for name in nodes)


def test_features_come_under_the_names_asked_for(squeezenet, chelsea):
    found = squeezenet.features(chelsea, ["fire2", "features.3", "features.3.cat", "conv10"])
    assert list(found) == ["fire2", "features.3", "features.3.cat", "conv10"]
    assert torch.equal(found["fire2"], found["features.3"])
    assert found["conv10"].shape[1] == 1000


@pytest.mark.parametrize(
    ("model", "alias", "path"),
    [
        ("vgg19", "conv4_2", "features.21"),
        ("vgg19", "relu5_1", "features.29"),
        ("vgg16_bn", "conv5_3", "features.40"),
        ("vgg16", "pool5", "features.30"),
        ("vgg16", "fc7", "classifier.3"),
        ("alexnet", "pool2", "features.5"),
        ("alexnet", "fc8", "classifier.6"),
        ("googlenet", "inception_4c", "inception4c.cat"),
        ("googlenet", "mixed5b", "inception5b.cat"),
        ("resnet50", "res4b", "layer3.1.relu_2"),
        ("resnet50", "conv5_x", "layer4.2.relu_2"),
        ("resnet18", "layer3.1", "layer3.1.relu_1"),
        ("squeezenet1_1", "fire6", "features.9.cat"),
        ("squeezenet1_0", "fire4", "features.5.cat"),
    ],
)
def test_papers_names(model, alias, path):
    from cnnviz.network.loading import load_meta_network

    layers = load_meta_network(model).layers
    assert layers.name_of(layers.node(alias)) == path


def test_an_unknown_layer_lists_the_nearest(squeezenet):
    with pytest.raises(UsageError, match=r"no layer called 'fire66'.*fire6"):
        squeezenet.features(torch.rand(1, 3, 64, 64), ["fire66"])
    with pytest.raises(UsageError, match="at least one layer"):
        squeezenet.features(torch.rand(1, 3, 64, 64), [])


def test_averaging_pools_keep_names_and_share_parameters(squeezenet, chelsea):
    average = with_average_pooling(squeezenet)
    assert average.module.features[0].weight is squeezenet.module.features[0].weight
    assert average.layers.node("fire5").name == squeezenet.layers.node("fire5").name
    assert average.layers.aliases_of(average.layers.node("pool3")) == ("pool3",)
    assert (average(chelsea) - squeezenet(chelsea)).abs().max() > 0.1
    assert isinstance(squeezenet.module.features[2], nn.MaxPool2d)


def test_coffee_is_espresso_and_chelsea_a_cat(squeezenet, samples):
    for crop in (False, True):
        coffee = cnnviz.read_image(samples / "coffee.png", size=224, crop=crop)
        index, label, probability = squeezenet.predict(coffee, k=1)[0][0]
        assert (index, label) == (967, "espresso")
        assert probability > 0.9
        cat = cnnviz.read_image(samples / "chelsea.png", size=224, crop=crop)
        assert squeezenet.predict(cat, k=1)[0][0][0] in range(281, 286)


def test_predictions_are_ordered_probabilities(squeezenet, chelsea):
    predictions = squeezenet.predict(torch.cat([chelsea, chelsea.flip(3)]), k=2000)
    assert [len(p) for p in predictions] == [1000, 1000]
    values = [p for _, _, p in predictions[0]]
    assert values == sorted(values, reverse=True)
    assert sum(values) == pytest.approx(1, abs=1e-4)


def test_embedded_network_is_torchvisions_architecture(squeezenet, chelsea):
    from torchvision.models import squeezenet1_1

    theirs = squeezenet1_1()
    theirs.load_state_dict(squeezenet.module.state_dict())
    expected = theirs.eval()(squeezenet.normalize(chelsea))
    torch.testing.assert_close(squeezenet(chelsea), expected, rtol=1e-5, atol=1e-4)


def test_parameters_are_frozen_and_unchanged_by_explaining(squeezenet, chelsea):
    before = {name: p.clone() for name, p in squeezenet.module.state_dict().items()}
    cnnviz.saliency(squeezenet, chelsea)
    assert not any(p.requires_grad for p in squeezenet.module.parameters())
    assert not squeezenet.module.training
    assert all(torch.equal(p, before[name]) for name, p in squeezenet.module.state_dict().items())


def test_lower_precision_is_close_and_comes_back_as_float32(chelsea):
    full = cnnviz.load_network("squeezenet1_1", device="cpu")
    half = cnnviz.load_network("squeezenet1_1", device="cpu", precision="bf16")
    logits = half(chelsea)
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, full(chelsea))
    assert torch.nn.functional.cosine_similarity(logits, full(chelsea)).item() > 0.99
    assert half.features(chelsea, ["fire4"])["fire4"].dtype == torch.float32


def test_double_precision(tiny):
    tiny.to(torch.float64)
    assert tiny(torch.rand(1, 3, 16, 16, dtype=torch.float64)).dtype == torch.float64
    assert tiny.features(torch.rand(1, 3, 16, 16), ["act"])["act"].dtype == torch.float64


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 4, 64, 64)])
def test_pixels_of_another_layout_are_refused(squeezenet, shape):
    with pytest.raises(UsageError, match=r"\(N, 3, H, W\)"):
        squeezenet(torch.rand(shape))


def test_pictures_the_network_cannot_take(squeezenet):
    with pytest.raises(ImageError, match=r"too small for squeezenet1_1.*at least 17"):
        squeezenet(torch.rand(1, 3, 16, 64))
    lenet = cnnviz.load_network("lenet5", weights="random")
    with pytest.raises(ImageError, match="32×32 pixels only"):
        lenet(torch.rand(1, 3, 28, 28))


def test_lenet_looks_at_grey():
    lenet = cnnviz.load_network("lenet5", weights="random")
    color = torch.rand(1, 3, 32, 32)
    gray = (color * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(lenet(color), lenet.module(gray))
    assert lenet.labels == tuple(f"class {i}" for i in range(10))
