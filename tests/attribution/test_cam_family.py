"""Every class activation method against pytorch-grad-cam, and by what its paper says of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cnnviz
from cnnviz.attribution import cam, cam_layers, principal
from cnnviz.attribution.cam_scores import _rest
from cnnviz.errors import UsageError
from cnnviz.network.network import Network

PEER = "pytorch_grad_cam"
NETWORKS = ("squeezenet1_1", "resnet18")
LAYERS = {"squeezenet1_1": ["features.7", "features.12"], "resnet18": ["layer2", "layer4"]}
PAIRS = {
    "GradCAM": cnnviz.grad_cam,
    "GradCAMPlusPlus": cnnviz.grad_cam_plus_plus,
    "HiResCAM": cnnviz.hires_cam,
    "XGradCAM": cnnviz.xgrad_cam,
    "LayerCAM": cnnviz.layer_cam,
    "EigenCAM": cnnviz.eigen_cam,
    "FinerCAM": cnnviz.finer_cam,
    "ShapleyCAM": cnnviz.shapley_cam,
    "AblationCAM": cnnviz.ablation_cam,
    "ScoreCAM": cnnviz.score_cam,
}
"""The peer's class and our function."""


@pytest.fixture(scope="module")
def networks() -> dict[str, Network]:
    from torchvision.models import resnet18

    torch.manual_seed(0)
    return {
        "squeezenet1_1": cnnviz.load_network("squeezenet1_1", device="cpu"),
        "resnet18": Network(resnet18(num_classes=10), labels=[f"c{index}" for index in range(10)]),
    }


def photo(samples, size: int) -> Tensor:
    return cnnviz.read_image(samples / "chelsea.png", size=size)


def scaled(found) -> Tensor:
    found = torch.as_tensor(np.asarray(found)).double().squeeze()
    return (found - found.min()) / (found.max() - found.min())


def peers_map(network: Network, pixels: Tensor, name: str, layers: list[str], target: int, **options) -> Tensor:
    """The peer's map; its Eigen-CAM, whose sign is arbitrary, with ours."""
    import pytorch_grad_cam as peer
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputReST, ClassifierOutputTarget

    kind = ClassifierOutputReST if name == "ShapleyCAM" else ClassifierOutputTarget
    targets = None if name == "FinerCAM" else [kind(target)]  # which finds the nearest classes itself
    found = getattr(peer, name)(network.module, [network.module.get_submodule(layer) for layer in layers])
    return found(network.normalize(pixels).requires_grad_(), targets, **options)[0]


@pytest.fixture
def our_sign(monkeypatch):
    """The peer's principal components in the direction that the sum over channels has, as ours are."""
    peer = pytest.importorskip(PEER)
    original = peer.eigen_cam.get_2d_projection

    def projection(maps):
        found, total = original(maps), maps.sum(1)
        sign = np.sign((found * (total - total.mean((1, 2), keepdims=True))).sum((1, 2)))
        return found * sign[:, None, None]

    for module in (peer.eigen_cam, peer.base_cam):
        monkeypatch.setattr(module, "get_2d_projection", projection)


def settings_of(name: str) -> dict:
    return {"epsilon": 1e-6} if name in ("GradCAMPlusPlus", "RefineCAM") else {}


@pytest.mark.parametrize("size", [64, 96])
@pytest.mark.parametrize("which", NETWORKS)
@pytest.mark.parametrize("name", [name for name in PAIRS if name not in ("ScoreCAM", "AblationCAM")])
def test_one_layer_is_the_peers(networks, samples, our_sign, name, which, size):
    network, pixels = networks[which], photo(samples, size)
    target = int(network(pixels).argmax())
    layers = LAYERS[which][-1:]
    expected = scaled(peers_map(network, pixels, name, layers, target))
    found = scaled(PAIRS[name](network, pixels, target, layer=layers, **settings_of(name)))
    assert (found - expected).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("which", "size", "layers"),
    [
        ("squeezenet1_1", 64, ["features.3"]),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in [
                ("squeezenet1_1", 96, ["features.12"]),
                ("resnet18", 64, ["layer4"]),
                ("resnet18", 96, ["layer2"]),
            ]
        ),
    ],
)
@pytest.mark.parametrize("name", ["ScoreCAM", "AblationCAM"])
def test_a_pass_for_each_channel_is_the_peers(networks, samples, our_sign, name, which, size, layers):
    network, pixels = networks[which], photo(samples, size)
    target = int(network(pixels).argmax())
    expected = scaled(peers_map(network, pixels, name, layers, target))
    assert (scaled(PAIRS[name](network, pixels, target, layer=layers)) - expected).abs().max() < 1e-4


@pytest.mark.parametrize("which", NETWORKS)
@pytest.mark.parametrize("name", ["GradCAM", "HiResCAM", "XGradCAM", "LayerCAM", "EigenCAM", "FinerCAM", "RefineCAM"])
def test_several_layers_are_the_peers(networks, samples, our_sign, name, which):
    """RefineCAM is the authors' own in pytorch-grad-cam; torchcam's Grad-CAM++, which it multiplies, is another."""
    network, pixels, layers = networks[which], photo(samples, 64), LAYERS[which]
    target = int(network(pixels).argmax())
    expected = scaled(peers_map(network, pixels, name, layers, target))
    ours = cnnviz.refine_cam if name == "RefineCAM" else PAIRS[name]
    found = scaled(ours(network, pixels, target, layer=layers, **settings_of(name)))
    assert (found - expected).abs().max() < 1e-4


@pytest.mark.parametrize("which", NETWORKS)
@pytest.mark.parametrize(("ours", "theirs"), [("flips", "aug_smooth"), ("eigen", "eigen_smooth")])
def test_smoothing_is_the_peers(networks, samples, our_sign, which, ours, theirs):
    network, pixels, layers = networks[which], photo(samples, 64), LAYERS[which]
    target = int(network(pixels).argmax())
    expected = scaled(peers_map(network, pixels, "GradCAM", layers, target, **{theirs: True}))
    found = scaled(cnnviz.grad_cam(network, pixels, target, layer=layers, smooth=ours))
    assert (found - expected).abs().max() < 1e-4
    assert (found - scaled(cnnviz.grad_cam(network, pixels, target, layer=layers))).abs().max() > 0.01


def test_grad_cam_plus_plus_is_the_papers_where_the_peers_is_decided_by_its_epsilon(networks, samples):
    """At a hundred times ten thousand the logit, the same for both, 1e-6 is nothing beside the squared gradients."""
    pytest.importorskip(PEER)
    import pytorch_grad_cam as peer

    network, pixels = networks["squeezenet1_1"], photo(samples, 96)
    factor = 1e6
    expected = peer.GradCAMPlusPlus(network.module, [network.module.features[12]])(
        network.normalize(pixels).requires_grad_(), [lambda logits: factor * logits[281]]
    )[0]
    found = cnnviz.grad_cam_plus_plus(network, pixels, lambda logits: factor * logits[:, 281])
    assert (scaled(found) - scaled(expected)).abs().max() < 1e-4
    plain = scaled(peers_map(network, pixels, "GradCAMPlusPlus", ["features.12"], 281))
    assert (scaled(cnnviz.grad_cam_plus_plus(network, pixels, 281)) - plain).abs().max() > 0.05


class Head(nn.Module):
    """Maps by two convolutions, and a linear layer of their mean; ``smooth`` for an activation with curvature."""

    def __init__(self, activation: nn.Module, classes: int = 4) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.maps = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 6, 3, stride=2)
        self.act, self.head = activation, nn.Linear(6, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.maps(self.act(self.first(x)))).mean((2, 3)))


PIXELS = torch.rand(2, 3, 16, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def small(function: nn.Module | None = None, classes: int = 4, **settings) -> Network:
    module = Head(function or nn.ReLU(), classes).double()
    return Network(module, size=16, **settings).to(torch.float64)


def test_hires_and_xgrad_cam_are_grad_cam_where_the_mean_of_the_maps_goes_to_a_linear_layer():
    network = small()
    expected = cnnviz.grad_cam(network, PIXELS, 1, layer="act_1")
    assert expected.max() > 0
    torch.testing.assert_close(cnnviz.hires_cam(network, PIXELS, 1, layer="act_1"), expected)
    torch.testing.assert_close(cnnviz.xgrad_cam(network, PIXELS, 1, layer="act_1"), expected)


def test_shapley_cam_of_a_function_is_grad_cam_on_a_relu_network_and_not_on_a_smooth_one():
    score = lambda logits: logits[:, 1]  # noqa: E731
    for activation, is_same in ((nn.ReLU(), True), (nn.GELU(), False)):
        network = small(activation)
        found, plain = (f(network, PIXELS, score, layer="act") for f in (cnnviz.shapley_cam, cnnviz.grad_cam))
        assert torch.allclose(found, plain) is is_same
    of_class = cnnviz.shapley_cam(small(), PIXELS, 1, layer="act")
    assert not torch.allclose(of_class, cnnviz.grad_cam(small(), PIXELS, 1, layer="act"))


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("softmax", lambda logits: logits[:, 1] + logits.log_softmax(1)[:, 1]),
        ("sigmoid", lambda logits: logits[:, 1] + logits.sigmoid().log()[:, 1]),
        ("none", lambda logits: logits[:, 1]),
    ],
)
def test_the_score_of_shapley_cam_is_logit_and_logarithm_of_the_probability(activation, expected):
    network = small(nn.GELU(), activation=activation)
    found = cnnviz.shapley_cam(network, PIXELS, 1, layer="act")
    torch.testing.assert_close(found, cnnviz.shapley_cam(network, PIXELS, expected, layer="act"))


def test_our_own_autograd_functions_have_second_derivatives():
    """The same module, its convolutions and poolings replaced by ours and not."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 64, 3, 2), nn.SiLU(), nn.Conv2d(64, 64, 3), nn.SiLU(), nn.MaxPool2d(2)]
    module = nn.Sequential(*layers, nn.Conv2d(64, 4, 1), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    plain = cnnviz.shapley_cam(Network(module), pixels, 1, layer="1")
    assert (plain - cnnviz.grad_cam(Network(module), pixels, 1, layer="1")).abs().max() > 0.01 * plain.max()
    ours = cnnviz.shapley_cam(Network(module, optimize=True), pixels, 1, layer="1")
    torch.testing.assert_close(ours, plain, rtol=1e-3, atol=1e-4 * float(plain.max()))


def test_finer_cam_is_grad_cam_of_the_difference_to_the_nearest_classes():
    network = small()
    (logits,) = network(PIXELS[:1]).detach()
    near = (logits - logits[2]).abs().argsort()[1:3].tolist()

    def difference(values: Tensor) -> Tensor:
        shares = values[:, near].softmax(1)
        return (shares * (values[:, [2]] - 0.5 * values[:, near])).sum(1)

    found = cnnviz.finer_cam(network, PIXELS[:1], 2, layer="act", strength=0.5, references=2)
    torch.testing.assert_close(found, cnnviz.grad_cam(network, PIXELS[:1], difference, layer="act"))
    versus = cnnviz.Versus(2, 0)
    torch.testing.assert_close(
        cnnviz.finer_cam(network, PIXELS, versus, layer="act"), cnnviz.grad_cam(network, PIXELS, versus, layer="act")
    )
    with pytest.raises(UsageError, match="Finer-CAM compares classes, and custom has only one"):
        cnnviz.finer_cam(small(classes=1), PIXELS, 0, layer="act")


def test_refine_cam_is_refused_with_one_layer_and_dark_where_one_layer_is():
    network = small()
    with pytest.raises(UsageError, match="two layers or more"):
        cnnviz.refine_cam(network, PIXELS, 1, layer="act")
    with pytest.raises(UsageError, match="two layers or more"):
        cnnviz.refine_cam(network, PIXELS, 1, layer=["act", "act"])
    found = cnnviz.refine_cam(network, PIXELS, 1, layer=["act", "act_1"])
    for layer in ("act", "act_1"):
        one = cam_layers.min_max(cnnviz.grad_cam_plus_plus(network, PIXELS, 1, layer=layer))
        assert (found <= one + 1e-9).all()


def test_score_cam_by_its_definition():
    network = small()
    maps = network.features(PIXELS[:1], ["act"])["act"][0].detach()
    x = network.normalize(PIXELS[:1])
    scores = []
    for one in maps:
        mask = torch.nn.functional.interpolate(one[None, None], size=x.shape[2:], mode="bilinear", align_corners=True)
        mask = (mask - mask.min()) / (mask.max() - mask.min()) if mask.max() > mask.min() else mask * 0
        scores.append(network.body(x * mask)[0, 3])
    weighted = (torch.stack(scores).softmax(0)[:, None, None] * maps).sum(0).relu()
    found = cnnviz.score_cam(network, PIXELS[:1], 3, layer="act")[0, 0]
    torch.testing.assert_close(found, weighted)


def test_ablation_cam_goes_on_from_the_layer_or_runs_everything_where_something_goes_around_it():
    class Skipping(Head):
        def forward(self, x: Tensor) -> Tensor:
            inner = self.act(self.first(x))
            return self.head((self.maps(inner) + self.maps(torch.cos(x).repeat(1, 3, 1, 1)[:, :8])).mean((2, 3)))

    for kind in (Head, Skipping):
        network = Network(kind(nn.ReLU()).double(), size=16).to(torch.float64)
        maps = network.features(PIXELS[:1], ["act"])["act"].detach()
        state = cam_layers.LayerState(network, network.normalize(PIXELS[:1]), [1], "act", maps, maps, maps)
        run, is_rest = _rest(state, 0)
        assert is_rest is (kind is Head)
        torch.testing.assert_close(run(3, lambda found: found), network(PIXELS[:1]).expand(3, -1))
        drop = run(1, lambda found: found) - run(1, lambda found: found * 0)
        assert drop.abs().max() > 0


def test_the_first_principal_component_is_that_of_a_singular_value_decomposition():
    for shape in ((2, 7, 4, 5), (2, 30, 3, 4)):
        maps = torch.rand(shape, generator=torch.Generator().manual_seed(0)).square()
        found = principal.principal_map(maps)
        for one, image in zip(found.flatten(1).double(), maps.flatten(2).double(), strict=True):
            values = image.T - image.T.mean(0)
            expected = values @ torch.linalg.svd(values, full_matrices=False).Vh[0]
            assert torch.allclose(one, expected, atol=1e-5) or torch.allclose(one, -expected, atol=1e-5)
            assert (one * image.sum(0)).sum() >= one.sum() * image.sum(0).mean() - 1e-5


def test_layers_are_checked_and_named_in_many_ways(networks, samples):
    network, pixels = networks["resnet18"], photo(samples, 64)
    both = cnnviz.grad_cam(network, pixels, 3, layer=["layer2", network.module.layer4, "layer4"])
    torch.testing.assert_close(both, cnnviz.grad_cam(network, pixels, 3, layer=("layer2", "layer4")))
    assert both.min() >= 0 and both.max() <= 1
    for layers, words in ((["layer9"], "no layer called"), (["layer4", "fc"], "is no map"), ([], "at least one layer")):
        with pytest.raises(UsageError, match=words):
            cnnviz.grad_cam(network, pixels, layer=layers)
    with pytest.raises(UsageError, match="no smoothing 'blur'"):
        cnnviz.grad_cam(network, pixels, smooth="blur")
    assert len(cam.default_layers(network, "refinecam")) == 4


@pytest.mark.parametrize("name", [name for name in (*PAIRS, "RefineCAM") if name != "EigenCAM"])
def test_a_class_versus_itself_is_zero(name):
    ours = cnnviz.refine_cam if name == "RefineCAM" else PAIRS[name]
    found = ours(small(), PIXELS, cnnviz.Versus(1, 1), layer=["act", "act_1"])
    assert found.count_nonzero() == 0


def test_every_method_works_on_the_tokens_of_a_transformer():
    from torchvision.models import VisionTransformer

    from cnnviz.attribution.registry import METHODS

    torch.manual_seed(0)
    module = VisionTransformer(32, 8, 3, 2, 16, 32, num_classes=5)
    nn.init.normal_(module.heads.head.weight)
    network, pixels = Network(module, size=32), torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for method in METHODS.values():
        if method.command == "gradcam" and method.name != "guided-gradcam":
            found = method(network, pixels, 2)
            assert found.shape == (1, 1, 32, 32) and bool(found.isfinite().all()), method.name
            assert bool(found.max() > 0) or method.name == "refinecam", method.name  # a product may be dark everywhere


def test_two_cats_are_told_apart_by_their_contrast(networks, samples):
    """Alone the two classes have almost the same map."""
    network, pixels = networks["squeezenet1_1"], photo(samples, 224)
    targets = ("tabby", "Egyptian cat", cnnviz.Versus("Egyptian cat", "tabby"))
    maps = torch.stack([cnnviz.grad_cam(network, pixels, target).flatten() for target in targets])
    alike = maps.corrcoef()
    assert alike[0, 1] > 0.9 and alike[2, :2].max() < 0.6
