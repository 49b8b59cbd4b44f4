"""Infidelity and sensitivity against captum, with the same noise."""

from __future__ import annotations

import pytest
import torch

import cnnviz
from cnnviz.errors import UsageError


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(400, 3))
    return cnnviz.Network(module, size=12)


@pytest.fixture
def image():
    return torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_infidelity_is_captums_at_a_seed(tiny, image, normalize, channels):
    captum = pytest.importorskip("captum.metrics")
    one = image[:1]
    gradient = torch.autograd.functional.jacobian(lambda x: tiny.logits(x)[0, 2], one)
    found = gradient if channels == 3 else gradient.abs().amax(1, keepdim=True)

    def perturb(inputs):
        noise = 0.1 * torch.randn(20, channels, 12, 12, generator=torch.Generator().manual_seed(5))
        noise = noise.expand(-1, 3, -1, -1)
        return noise, inputs - noise

    theirs = captum.infidelity(
        tiny.logits, perturb, one, found.expand(-1, 3, -1, -1), target=2, n_perturb_samples=20, normalize=normalize
    )
    # A map with one channel tells the change of all three, the sum of their gradients.
    scaled = found if channels == 3 else 3 * found
    ours = cnnviz.infidelity(tiny, one, scaled, 2, samples=20, normalize=normalize, seed=5)
    assert ours.tolist() == pytest.approx(theirs.tolist(), rel=1e-4)


def test_infidelity_is_least_for_the_gradient_of_a_linear_network():
    network = cnnviz.Network(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(432, 2)), size=12)
    image = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    gradient = torch.autograd.functional.jacobian(lambda x: network.logits(x)[0, 0], image)
    other = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    assert float(cnnviz.infidelity(network, image, gradient, 0, normalize=False)) < 1e-8
    assert float(cnnviz.infidelity(network, image, gradient, 0)) < 1e-3 * float(
        cnnviz.infidelity(network, image, other, 0)
    )


def test_sensitivity_is_captums_at_a_seed(tiny, image):
    image = 0.1 + 0.8 * image[:1]
    captum = pytest.importorskip("captum.metrics")
    generator = torch.Generator().manual_seed(3)

    def perturb(inputs):
        return inputs + 0.02 * (2 * torch.rand(inputs.shape, generator=generator) - 1)

    def attribute(inputs):  # captum 0.9 subtracts the wrong rows where this returns a tensor, not a tuple
        return (cnnviz.saliency(tiny, inputs[0] if isinstance(inputs, tuple) else inputs, 1),)

    theirs = captum.sensitivity_max(attribute, image, perturb, n_perturb_samples=5, max_examples_per_batch=2)
    ours = cnnviz.sensitivity_max(image, lambda x: cnnviz.saliency(tiny, x, 1), samples=5, seed=3)
    assert ours.tolist() == pytest.approx(theirs.tolist(), rel=1e-5)


def test_a_map_that_ignores_the_image_is_steady_and_samples_are_needed(tiny, image):
    assert cnnviz.sensitivity_max(image, lambda x: cnnviz.baseline_map("middle", x), samples=2).tolist() == [0, 0]
    for call in (
        lambda: cnnviz.sensitivity_max(image, lambda x: x[:, :1], samples=0),
        lambda: cnnviz.infidelity(tiny, image, image[:, :1], samples=0),
    ):
        with pytest.raises(UsageError, match="at least one sample"):
            call()
