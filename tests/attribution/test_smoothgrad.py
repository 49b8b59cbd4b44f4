"""SmoothGrad, integrated gradients and input × gradient."""

from __future__ import annotations

import pytest
import torch
from captum.attr import InputXGradient, IntegratedGradients
from torch import nn

import cnnviz
from cnnviz.attribution.integrated_gradients import completeness_error
from cnnviz.errors import UsageError
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec


@pytest.fixture
def smooth() -> Network:
    """A small network without kinks, in double precision, on which quadratures agree to many digits."""
    torch.manual_seed(2)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(4 * 16, 3)).double()
    return Network(module, spec=InputSpec(size=6, fixed=True))


class OnPixels(nn.Module):
    """A Network as a module, for captum."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels):
        return self.network(pixels)


def test_one_sample_without_noise_is_the_plain_gradient(squeezenet, chelsea):
    assert torch.equal(cnnviz.smoothgrad(squeezenet, chelsea, samples=1, sigma=0), cnnviz.saliency(squeezenet, chelsea))


def test_smoothgrad_of_a_linear_network_is_its_gradient_whatever_the_noise():
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 2)).double()
    network = Network(linear, spec=InputSpec(size=4, fixed=True))
    pixels = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(
        cnnviz.smoothgrad(network, pixels, 1, samples=11, sigma=0.3), cnnviz.saliency(network, pixels, 1)
    )


def test_smoothgrad_follows_its_seed(squeezenet, chelsea):
    pixels = chelsea[..., :64, :64]
    one, same, other = (cnnviz.smoothgrad(squeezenet, pixels, 285, samples=3, seed=s) for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert (one - other).norm() > 0.05 * one.norm()


def test_integrated_gradients_are_captums_on_a_smooth_network(smooth):
    pixels = torch.rand(2, 3, 6, 6, dtype=torch.float64)
    for name, value in (("black", 0.0), ("gray", 0.5)):
        reference = IntegratedGradients(OnPixels(smooth)).attribute(pixels, baselines=value, target=2, n_steps=80)
        found = cnnviz.integrated_gradients(smooth, pixels, 2, steps=80, baseline=name)
        torch.testing.assert_close(found, reference, rtol=1e-5, atol=1e-7)
        assert completeness_error(smooth, pixels, found, 2, name).max() < 1e-6


@pytest.mark.parametrize(
    "photo",
    [
        "chelsea.png",
        "coffee.png",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("rocket.jpg", "astronaut.png")),
    ],
)
def test_integrated_gradients_are_complete_to_one_percent(squeezenet, samples, photo):
    pixels = cnnviz.read_image(samples / photo, size=224)
    found = cnnviz.integrated_gradients(squeezenet, pixels, steps=64)
    assert completeness_error(squeezenet, pixels, found).max() < 0.01


def test_input_x_gradient_is_captums(squeezenet, chelsea):
    reference = InputXGradient(OnPixels(squeezenet)).attribute(chelsea.clone().requires_grad_(), target=281)
    torch.testing.assert_close(cnnviz.input_x_gradient(squeezenet, chelsea, "tabby"), reference)


def test_invalid_arguments(squeezenet, chelsea):
    for wrong in ({"samples": 0}, {"sigma": -1}):
        with pytest.raises(UsageError, match="at least"):
            cnnviz.smoothgrad(squeezenet, chelsea, **wrong)
    with pytest.raises(UsageError, match="at least one step"):
        cnnviz.integrated_gradients(squeezenet, chelsea, steps=0)
    with pytest.raises(UsageError, match="no baseline 'pink'"):
        cnnviz.integrated_gradients(squeezenet, chelsea, baseline="pink")
