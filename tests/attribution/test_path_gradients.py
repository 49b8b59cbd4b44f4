"""VarGrad, SquareGrad, expected gradients, GradientSHAP, blur-IG, guided IG and FullGrad."""

from __future__ import annotations

import pytest
import torch
from captum.attr import GradientShap
from torch import nn
from torch.nn import functional as F

import cnnviz
from cnnviz.attribution import expected_gradients, path_gradients
from cnnviz.attribution.fullgrad import full_gradients
from cnnviz.attribution.gradients import gradient_and_logits
from cnnviz.errors import UsageError
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec

PIXELS = torch.rand(2, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
BASELINES = torch.rand(4, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def smooth() -> Network:
    """A small network without kinks, in double precision."""
    torch.manual_seed(2)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(4 * 16, 3)).double()
    return Network(module, spec=InputSpec(size=6, fixed=True))


@pytest.fixture
def linear() -> Network:
    torch.manual_seed(3)
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 36, 3)).double()
    return Network(module, spec=InputSpec(size=6, fixed=True))


def test_of_a_linear_network_gradients_have_no_variance_and_their_own_square(linear):
    gradient = cnnviz.saliency(linear, PIXELS, 1)
    assert cnnviz.vargrad(linear, PIXELS, 1, samples=5).max() < 1e-12 * gradient.max()
    torch.testing.assert_close(cnnviz.squaregrad(linear, PIXELS, 1, samples=5), gradient.square())


def test_vargrad_is_the_variance_of_smoothgrads_gradients(smooth):
    image, samples = PIXELS[:1], 6
    noise = torch.Generator().manual_seed(4)
    copies = torch.cat(
        [image + 0.2 * torch.randn(image.shape, generator=noise, dtype=image.dtype) for _ in range(samples)]
    )
    gradients = gradient_and_logits(smooth, copies, 2)[0]
    settings = {"samples": samples, "sigma": 0.2, "seed": 4}
    expected = gradients.var(0, unbiased=False).amax(0)[None, None]
    torch.testing.assert_close(cnnviz.vargrad(smooth, image, 2, **settings), expected)
    torch.testing.assert_close(
        cnnviz.squaregrad(smooth, image, 2, **settings), gradients.square().mean(0).amax(0)[None, None]
    )


def test_of_a_linear_network_every_path_gives_the_same(linear):
    weights = linear.module[1].weight[1].view(1, 3, 6, 6).detach() / torch.tensor(linear.spec.std).view(1, 3, 1, 1)
    exact = PIXELS * weights
    torch.testing.assert_close(cnnviz.guided_integrated_gradients(linear, PIXELS, 1, steps=7), exact)
    black = torch.zeros(1, 3, 1, 1)
    torch.testing.assert_close(cnnviz.expected_gradients(linear, PIXELS, 1, samples=3, baselines=black), exact)
    mean = (PIXELS - BASELINES.mean(0)) * weights
    torch.testing.assert_close(cnnviz.expected_gradients(linear, PIXELS, 1, samples=8, baselines=BASELINES), mean)


@pytest.mark.parametrize("baseline", ["black", "white"])
def test_paths_sum_to_the_difference_of_the_scores(smooth, baseline):
    found = cnnviz.guided_integrated_gradients(smooth, PIXELS, 2, steps=60, baseline=baseline)
    ends = smooth(PIXELS)[:, 2] - smooth(torch.full_like(PIXELS, float(baseline == "white")))[:, 2]
    assert ((found.sum((1, 2, 3)) - ends).abs() < 1e-3 * found.abs().sum((1, 2, 3))).all()
    found = cnnviz.blur_integrated_gradients(smooth, PIXELS, 2, steps=32)
    assert path_gradients.completeness_error(smooth, PIXELS, found, 2).max() < 1e-3
    found = cnnviz.expected_gradients(smooth, PIXELS, 2, samples=200, baselines=BASELINES)
    assert expected_gradients.completeness_error(smooth, PIXELS, found, 2, baselines=BASELINES).max() < 0.02


def test_guided_paths_leave_the_straight_one_by_a_tenth_at_most(smooth, monkeypatch):
    image, seen = PIXELS[:1], []
    inner = path_gradients.gradient_and_logits
    monkeypatch.setattr(path_gradients, "gradient_and_logits", lambda *of: (seen.append(of[1]), inner(*of))[1])
    cnnviz.guided_integrated_gradients(smooth, image, 2, steps=20)
    for step, place in enumerate(seen[:-1]):
        assert ((place / image - step / 20).abs() <= 0.1 + 1e-9).all()
        torch.testing.assert_close(place.sum(), image.sum() * step / 20)
    assert max(float((place / image).std()) for place in seen) > 0.02  # it is no straight path


def test_gradient_shap_is_captums(smooth, linear):
    class Pixels(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, pixels):
            return self.network(pixels)

    settings = {"baselines": BASELINES, "target": 2}
    torch.manual_seed(0)
    reference = GradientShap(Pixels(linear)).attribute(PIXELS, BASELINES[:1], target=2, n_samples=3)
    torch.testing.assert_close(
        cnnviz.gradient_shap(linear, PIXELS, 2, samples=3, sigma=0, baselines=BASELINES[:1]), reference
    )
    reference = GradientShap(Pixels(smooth)).attribute(PIXELS, n_samples=3000, stdevs=0.1, **settings)
    found = cnnviz.gradient_shap(smooth, PIXELS, 2, samples=3000, sigma=0.1, baselines=BASELINES)
    assert float((found - reference).norm() / reference.norm()) < 0.1


class Rectified(nn.Module):
    """Functional and in-place ReLUs, batch normalization, and a classifier without bias."""

    def __init__(self):
        super().__init__()
        self.one, self.norm, self.two = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 3)
        self.head = nn.Linear(5, 3, bias=False)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        x = F.relu(self.norm(self.one(x)), inplace=True)
        x = self.act(self.two(x))
        return self.head(x.mean((2, 3)))


def test_full_gradients_sum_to_the_score():
    torch.manual_seed(0)
    module = Rectified().double().eval()
    module.norm.running_mean.uniform_(-1, 1)
    nn.init.uniform_(module.norm.bias)
    network = Network(module, spec=InputSpec(size=6, fixed=True))
    parts = full_gradients(network, PIXELS[:1], 1)
    assert len(parts) == 4
    torch.testing.assert_close(sum(part.sum() for part in parts), network(PIXELS[:1])[0, 1])


def test_they_follow_their_seeds_and_refuse_nonsense(squeezenet, chelsea):
    pixels = chelsea[..., :64, :64]
    for method in (cnnviz.vargrad, cnnviz.squaregrad, cnnviz.gradient_shap, cnnviz.expected_gradients):
        one, same, other = (method(squeezenet, pixels, 285, samples=2, seed=s) for s in (1, 1, 2))
        assert torch.equal(one, same)
        assert (one - other).norm() > 0.05 * one.norm()
        with pytest.raises(UsageError, match="at least"):
            method(squeezenet, pixels, samples=0)
    with pytest.raises(UsageError, match="two samples"):
        cnnviz.vargrad(squeezenet, pixels, samples=1)
    with pytest.raises(UsageError, match="Baselines are"):
        cnnviz.expected_gradients(squeezenet, pixels, baselines=torch.zeros(2, 3, 5, 5))
    for path in (cnnviz.blur_integrated_gradients, cnnviz.guided_integrated_gradients):
        with pytest.raises(UsageError, match="step"):
            path(squeezenet, pixels, steps=0)
