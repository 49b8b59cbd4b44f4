"""Winograd convolutions and their gradients against the direct convolution in float64."""

from __future__ import annotations

import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnviz.network.fast.conv import use_fast_convs, use_winograd, winograd_bytes
from cnnviz.network.fast.winograd import transform_weights, winograd_conv2d, winograd_gradient
from cnnviz.runtime.executors.threads import torch_threads

CASES = [
    # images, channels, outputs, size, padding
    (1, 3, 5, (1, 1), (1, 1)),
    (2, 7, 3, (31, 17), (0, 1)),
    (3, 5, 9, (8, 4), (2, 0)),
    (1, 4, 4, (16, 16), (1, 1)),
    (5, 1, 2, (3, 2), (1, 2)),
    (2, 33, 67, (13, 14), (1, 1)),
    (2, 130, 131, (30, 61), (1, 1)),  # blocks of rows
    (9, 129, 65, (5, 6), (2, 2)),  # blocks of images
]

TOLERANCE = 3e-5
"""Of the largest value."""


def exact(case):
    """Input, weights, bias and the output's gradient in float64, and what the direct convolution makes of them."""
    count, channels, outputs, size, padding = case
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (
        torch.randn(*shape, generator=generator, dtype=torch.float64)
        for shape in ((count, channels, *size), (outputs, channels, 3, 3), (outputs,))
    )
    x.requires_grad_()
    value = F.conv2d(x, weight, bias, padding=padding)
    gradient = torch.randn(value.shape, generator=generator, dtype=torch.float64)
    return x.detach(), weight, bias, gradient, value.detach(), torch.autograd.grad(value, x, gradient)[0]


def assert_near(found, expected):
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) < TOLERANCE * float(expected.abs().max())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_those_of_the_direct_convolution(case, layout):
    x, weight, bias, gradient, value, slope = exact(case)
    matrices, padding = transform_weights(weight.float()), case[-1]
    x, gradient = (each.float().contiguous(memory_format=layout) for each in (x, gradient))
    found = winograd_conv2d(x, matrices, bias.float(), padding)
    assert_near(found, value)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert_near(winograd_conv2d(x, matrices, None, padding), value - bias[:, None, None])
    assert_near(winograd_gradient(gradient, matrices, padding), slope)


@pytest.mark.parametrize("case", CASES[-2:])
def test_with_threads(case):
    x, weight, bias, gradient, value, slope = exact(case)
    with torch_threads(2):
        matrices = transform_weights(weight.float())
        assert_near(winograd_conv2d(x.float(), matrices, bias.float(), case[-1]), value)
        assert_near(winograd_gradient(gradient.float(), matrices, case[-1]), slope)


def test_of_parts_of_other_tensors():
    """Inputs that are views with gaps in memory, as slices of a map are."""
    x, weight, bias, gradient, *_ = (each.float() for each in exact(CASES[5]))
    matrices, part = transform_weights(weight), (slice(None), slice(None), slice(2, 9), slice(1, 12, 2))
    cut, along = x[part], gradient[part]
    assert torch.equal(
        winograd_conv2d(cut, matrices, bias, (1, 1)), winograd_conv2d(cut.contiguous(), matrices, bias, (1, 1))
    )
    assert torch.equal(
        winograd_gradient(along, matrices, (1, 1)), winograd_gradient(along.contiguous(), matrices, (1, 1))
    )


# --- as a layer of a network

LAYERS = {
    # channels, outputs, size, padding, more -> whether Winograd's way is taken
    "as in VGG": (128, 96, (14, 14), 1, {}, True),
    "narrow": (64, 64, (14, 14), 1, {}, False),
    "a small map": (128, 96, (13, 14), 1, {}, False),
    "made small": (128, 96, (14, 14), 0, {}, False),
    "no padding": (128, 96, (16, 16), 0, {}, True),
    "stride": (128, 96, (28, 28), 1, {"stride": 2}, False),
    "dilation": (128, 96, (16, 16), 1, {"dilation": 2}, False),
    "groups": (128, 128, (14, 14), 1, {"groups": 2}, False),
    "reflection": (128, 96, (14, 14), 1, {"padding_mode": "reflect"}, False),
    "by name": (128, 96, (14, 14), "same", {}, False),
}


def layer(channels, outputs, padding, **more):
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(channels, outputs, 3, padding=padding, **more)).requires_grad_(False)
    use_fast_convs(made)
    return made


@pytest.mark.needs("onednn")
@pytest.mark.parametrize("name", LAYERS)
def test_where_it_is_taken_follows_from_the_shape(name):
    channels, outputs, size, padding, more, is_taken = LAYERS[name]
    made = layer(channels, outputs, padding, **more)
    x = torch.randn(2, channels, *size, requires_grad=True)
    direct = made(x)
    use_winograd(made)
    found = made(x)
    assert ("Winograd" in type(found.grad_fn).__name__) == is_taken
    assert (winograd_bytes(made) > 0) == made[0].may_take_winograd
    assert_near(found.detach(), direct.detach())
    gradients = [torch.autograd.grad(each.sin().sum(), x)[0] for each in (found, direct)]
    assert_near(*gradients)


@pytest.mark.needs("onednn")
def test_what_follows_may_overwrite_its_output_and_weights_may_change():
    made = layer(128, 96, 1)
    x = torch.randn(1, 128, 15, 15, requires_grad=True)
    for _ in range(2):
        results = []
        for on in (False, True):
            use_winograd(made, on)
            value = F.relu(made(x), inplace=True)
            results.append((value.detach(), torch.autograd.grad(value.sum(), x)[0]))
        assert_near(results[1][0], results[0][0])
        made[0].weight.mul_(-2)


@pytest.mark.needs("onednn")
def test_the_gradient_has_a_gradient():
    made, found = layer(96, 96, 1), []
    for on in (False, True):
        use_winograd(made, on)
        x = torch.linspace(-1, 1, 96 * 14 * 14).view(1, 96, 14, 14).requires_grad_()
        first = torch.autograd.grad(made(x).pow(3).sum(), x, create_graph=True)[0]
        found.append(torch.autograd.grad(first.square().sum(), x)[0])
    assert_near(found[1], found[0])


@pytest.mark.needs("onednn")
def test_a_pickled_layer_leaves_its_matrices_behind():
    made = layer(128, 96, 1)
    use_winograd(made)
    x = torch.randn(1, 128, 14, 14)
    expected = made(x)
    sent = pickle.dumps(made)
    assert len(sent) < 1.1 * made[0].weight.nbytes
    assert torch.equal(pickle.loads(sent)(x), expected)


@pytest.mark.needs("onednn")
def test_a_scale_is_applied_before_the_bias():
    x, weight, bias, *_ = (each.float() for each in exact(CASES[5]))
    matrices, scale = transform_weights(weight), torch.linspace(-2, 2, len(weight))
    plain = winograd_conv2d(x, matrices, None, (1, 1)) * scale.view(1, -1, 1, 1)
    assert_near(winograd_conv2d(x, matrices, None, (1, 1), scale), plain)
    assert_near(winograd_conv2d(x, matrices, bias, (1, 1), scale), plain + bias.view(1, -1, 1, 1))
