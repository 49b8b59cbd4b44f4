"""RISE, LIME, KernelSHAP and feature ablation, against captum, brute force, and networks whose evidence is known."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import FeatureAblation, Lime, ShapleyValues
from torch import nn

import cnnviz
from cnnviz.attribution import local_models, masked_scores
from cnnviz.attribution.local_models import _draw_lime
from cnnviz.attribution.rise import random_masks
from cnnviz.attribution.superpixels import superpixels
from cnnviz.errors import UsageError
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec

SIZE = 24
METHODS = {
    "rise": lambda *of, **more: cnnviz.rise(*of, **{"masks": 20, **more}),
    "lime": lambda *of, **more: cnnviz.lime(*of, **{"masks": 20, "segments": 6, **more}),
    "kernelshap": lambda *of, **more: cnnviz.kernel_shap(*of, **{"masks": 20, "segments": 6, **more}),
    "ablation": lambda *of, **more: cnnviz.feature_ablation(*of, **{"segments": 6, **more}),
}


class InPlace(nn.Module):
    """A network with functional and in-place ReLUs."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Conv2d(3, 6, 3, stride=2), nn.Conv2d(6, 6, 3), nn.Linear(6, 4)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        x = torch.relu_(self.one(x))
        return self.head(self.act(self.two(x)).mean((2, 3)))


class OnPixels(nn.Module):
    """The probabilities of a network as a module of pixels, for captum."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels):
        return self.network.probabilities(self.network(pixels))


@pytest.fixture
def network() -> Network:
    torch.manual_seed(1)
    return Network(InPlace().double(), spec=InputSpec(size=SIZE, fixed=True))


@pytest.fixture
def image() -> torch.Tensor:
    """Nine squares of different colors, with some noise."""
    torch.manual_seed(5)
    squares = torch.rand(1, 3, 3, 3).repeat_interleave(SIZE // 3, 2).repeat_interleave(SIZE // 3, 3)
    return (0.9 * squares + 0.1 * torch.rand(1, 3, SIZE, SIZE)).double()


def test_superpixels_are_numbered_without_gaps_and_cover_the_image(image):
    labels = superpixels(image, 9)
    assert labels.shape == (SIZE, SIZE)
    assert labels.unique().tolist() == list(range(int(labels.max()) + 1)) and 3 < int(labels.max()) < 16
    assert torch.equal(labels, superpixels(image, 9))


def test_feature_ablation_is_captums_and_the_incremental_engine_is_exact(network, image, monkeypatch):
    labels = superpixels(image, 8)
    for fill, value in (("gray", 0.5), ("black", 0.0)):
        reference = FeatureAblation(OnPixels(network)).attribute(
            image, baselines=value, target=2, feature_mask=labels[None, None]
        )
        found = cnnviz.feature_ablation(network, image, 2, segments=8, fill=fill)
        torch.testing.assert_close(found, reference[:, :1])


def test_lime_is_captums_with_its_masks_kernel_and_ridge(network, image):
    labels = superpixels(image, 8)
    rows = iter(_draw_lime(30, int(labels.max()) + 1, 3))

    def similarity(original, perturbed, visible, **_):
        return math.exp(-(((1 - float(visible.mean().sqrt())) / 0.25) ** 2)) ** 0.5

    captums = Lime(
        OnPixels(network),
        interpretable_model=SkLearnRidge(alpha=1.0),
        similarity_func=similarity,
        perturb_func=lambda *_, **__: next(rows)[None],
    )
    reference = captums.attribute(image, baselines=0.5, target=2, feature_mask=labels[None, None], n_samples=30)
    found = cnnviz.lime(network, image, 2, masks=30, segments=8, fill="gray", seed=3)
    torch.testing.assert_close(found, reference[:, :1].double(), rtol=1e-4, atol=1e-7)


def test_kernelshap_with_every_mask_gives_captums_shapley_values(network, image):
    labels = superpixels(image, 5)
    count = int(labels.max()) + 1
    assert count < 9
    reference = torch.zeros(count, dtype=torch.float64)
    module, gray = OnPixels(network), torch.full_like(image, 0.5)
    chosen = list(itertools.product((0, 1), repeat=count))
    shown = torch.tensor(chosen)[:, labels][:, None]
    values = dict(zip(chosen, module(torch.where(shown == 1, image, gray))[:, 2].detach().double(), strict=True))
    for one in range(count):
        for mask in chosen:
            if not mask[one]:
                size = sum(mask)
                weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
                reference[one] += weight * (values[(*mask[:one], 1, *mask[one + 1 :])] - values[mask])
    found = cnnviz.kernel_shap(network, image, 2, masks=2**count, segments=5, fill="gray")
    torch.testing.assert_close(found[0, 0], reference[labels])
    if count <= 5:
        sampled = ShapleyValues(module).attribute(image, baselines=0.5, target=2, feature_mask=labels[None, None])
        torch.testing.assert_close(found, sampled[:, :1].double(), rtol=1e-4, atol=1e-7)


def test_sampled_shapley_values_sum_to_the_score_and_near_the_exact_ones(network, image, monkeypatch):
    count = int(superpixels(image, 9).max()) + 1
    exact = cnnviz.kernel_shap(network, image, 2, masks=2**count, segments=9)
    found = cnnviz.kernel_shap(network, image, 2, masks=2**count // 4, segments=9)
    labels = superpixels(image, 9)
    sums = [sum(float(each[0, 0][labels == one][0]) for one in range(count)) for each in (exact, found)]
    assert sums[0] == pytest.approx(sums[1])
    assert not torch.equal(exact, found)
    assert float((exact - found).norm() / exact.norm()) < 0.3


def test_rise_is_the_formula_over_its_masks(network, image):
    masks = random_masks(40, 4, (SIZE, SIZE), 7)(slice(0, 40)).double()
    gray = torch.full_like(image, 0.5)
    scores = OnPixels(network)(torch.lerp(gray, image, masks))[:, 2].detach()
    expected = (scores @ masks.flatten(1) / masks.flatten(1).sum(0) - scores.mean()).view(1, 1, SIZE, SIZE)
    found = cnnviz.rise(network, image, 2, masks=40, cells=4, fill="gray", seed=7)
    torch.testing.assert_close(found, expected)
    assert masks.min() >= 0 and masks.max() <= 1 and 0.4 < masks.mean() < 0.6


@pytest.mark.parametrize("name", METHODS)
def test_what_is_read_of_one_square_lies_there(name):
    """The network reads the red of the upper left square alone."""
    weights = torch.zeros(2, 3, SIZE, SIZE)
    weights[1, 0, : SIZE // 2, : SIZE // 2] = 0.05
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE**2, 2, bias=False))
    module[1].weight.data = weights.flatten(1)
    pixels = torch.zeros(1, 3, SIZE, SIZE)
    pixels[0, :, : SIZE // 2, : SIZE // 2] = torch.tensor([1, 0.2, 0.1])[:, None, None]
    pixels[0, 2, SIZE // 2 :] = 0.8
    network = Network(module, spec=InputSpec(size=SIZE, fixed=True))
    found = METHODS[name](network, pixels, 1, **({} if name == "ablation" else {"masks": 300}))
    best = found[0, 0].flatten().topk(SIZE**2 // 8).indices
    inside = (best // SIZE < SIZE // 2) & (best % SIZE < SIZE // 2)
    assert inside.double().mean() > 0.8


@pytest.mark.parametrize("name", METHODS)
def test_the_same_by_batches_of_any_size_and_seed_by_seed(network, image, name, monkeypatch):
    method = METHODS[name]
    own = method(network, image, 2, seed=1, fill="noise")
    monkeypatch.setattr(masked_scores.MaskedScores, "batch", 3)
    torch.testing.assert_close(method(network, image, 2, seed=1, fill="noise"), own)
    assert (method(network, image, 2, seed=2, fill="noise") - own).norm() > 1e-3 * own.norm()
    two = method(network, torch.cat([image, image.flip(3)]), [2, 1], seed=1)
    torch.testing.assert_close(two[:1], method(network, image, 2, seed=1))


def test_nonsense_is_refused(network, image):
    for method in METHODS.values():
        for wrong in ({"fill": "pink"}, {"score": "loss"}):
            with pytest.raises(UsageError, match="There is no"):
                method(network, image, **wrong)
    for method in (cnnviz.rise, cnnviz.lime, cnnviz.kernel_shap):
        with pytest.raises(UsageError, match="at least two masks"):
            method(network, image, masks=1)
    with pytest.raises(UsageError, match="two superpixels"):
        cnnviz.lime(network, image, segments=1)


def test_an_image_of_one_color_has_superpixels_and_maps(network):
    gray = torch.full((1, 3, SIZE, SIZE), 0.4, dtype=torch.float64)
    for method in METHODS.values():
        assert bool(method(network, gray, 0).isfinite().all())
    assert local_models._fit_shap(torch.tensor([[1.0], [0.0]]).numpy(), torch.tensor([3.0, 1.0]).numpy(), 9) == [2.0]
