"""Fast convolutions against torch's own: values, gradients of the input, and where they leave it to torch."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import fx, nn

from cnnviz.network.fast.conv import Conv2d, use_fast_convs
from cnnviz.runtime import private_torch
from cnnviz.runtime.executors.threads import torch_threads

CASES = [
    # inputs, kernel, stride, padding, size: 1×1 and small images (oneDNN), first layers (by phases), the rest (torch's)
    (8, 1, 1, 0, (23, 31)),
    (300, 1, 1, 0, (3, 5)),
    (8, 3, 1, 1, (13, 18)),
    (8, (3, 2), 1, (2, 0), (13, 18)),
    (8, 3, 1, 0, (60, 70)),
    (8, 5, 1, 2, (13, 18)),
    (8, 1, 2, 0, (13, 18)),
    (8, 3, 2, 1, (13, 18)),
    (3, 3, 2, 0, (40, 51)),
    (3, 7, 2, 3, (40, 51)),
    (3, 11, 4, 2, (63, 70)),
    (1, 5, 3, 1, (24, 25)),
    (4, (3, 5), (2, 3), (1, 0), (24, 26)),
    (3, 2, 3, 0, (25, 26)),
    (3, 2, 4, 1, (10, 11)),
    (3, 3, 1, 1, (24, 25)),
]


def pair(inputs, kernel, stride, padding, min_work=0, **more) -> tuple[nn.Conv2d, nn.Conv2d]:
    """Torch's convolution and ours with the same weights; ours takes its own way from ``min_work`` multiply-adds on."""
    torch.manual_seed(0)
    plain = nn.Conv2d(inputs, 6, kernel, stride, padding, **more).requires_grad_(False)
    ours = copy.deepcopy(plain)
    use_fast_convs(nn.Sequential(ours), min_work)
    return plain, ours


def slope(convolution: nn.Conv2d, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x = x.detach().requires_grad_()
    value = convolution(x)
    return value.detach(), torch.autograd.grad(value.sin().sum(), x)[0]


@pytest.mark.parametrize(("inputs", "kernel", "stride", "padding", "size"), CASES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_torchs(inputs, kernel, stride, padding, size, layout):
    plain, ours = pair(inputs, kernel, stride, padding)
    x = torch.randn(2, inputs, *size).contiguous(memory_format=layout)
    for found, expected in zip(slope(ours, x), slope(plain, x), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", [CASES[0], CASES[2], CASES[9]])
def test_the_gradient_has_a_gradient(case):
    inputs, kernel, stride, padding, size = case
    found = []
    for convolution in pair(inputs, kernel, stride, padding):
        x = torch.linspace(-1, 1, inputs * size[0] * size[1]).view(1, inputs, *size).requires_grad_()
        first = torch.autograd.grad(convolution(x).pow(3).sum(), x, create_graph=True)[0]
        found.append(torch.autograd.grad(first.square().sum(), x)[0])
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-4 * float(found[0].abs().max()))


@pytest.mark.needs("onednn", "avx2")
def test_a_pictures_last_bits_are_the_same_alone_and_in_company(squeezenet):
    pixels = torch.rand(3, 3, 90, 101, generator=torch.Generator().manual_seed(0))
    with torch_threads(1):
        maps = [cnn_slope(squeezenet, pixels), torch.cat([cnn_slope(squeezenet, each[None]) for each in pixels])]
    assert torch.equal(*maps)


def cnn_slope(network, pixels):
    pixels = pixels.detach().requires_grad_()
    return torch.autograd.grad(network(pixels)[:, 7].sum(), pixels)[0]


def test_parameters_that_want_a_gradient_get_it():
    plain, ours = pair(3, 1, 1, 0)
    x = torch.rand(1, 3, 5, 5)
    for convolution in (plain, ours):
        convolution.requires_grad_(True)(x).square().sum().backward()
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad)
    torch.testing.assert_close(ours.bias.grad, plain.bias.grad)


@pytest.mark.parametrize("case", [(8, 3, 1, 1), (3, 3, 2, 0)])
def test_gradients_follow_weights_that_are_changed(case):
    """Derived weights are kept for as long as the weights are the same."""
    plain, ours = pair(*case)
    x = torch.randn(2, case[0], 24, 26)
    slope(ours, x)
    for convolution in (plain, ours):
        convolution.weight.mul_(2)
    torch.testing.assert_close(slope(ours, x), slope(plain, x), atol=1e-4, rtol=1e-5)


def test_channels_without_a_gradient_are_left_out():
    torch.manual_seed(0)
    x, convolution = torch.randn(2, 8, 9, 10, requires_grad=True), nn.Conv2d(8, 256, 1).requires_grad_(False)
    expected = torch.autograd.grad(convolution(x)[:, 5].square().sum(), x)[0]
    use_fast_convs(nn.Sequential(convolution), min_work=0)
    torch.testing.assert_close(torch.autograd.grad(convolution(x)[:, 5].square().sum(), x)[0], expected)


def test_little_work_is_left_to_torch():
    _, ours = pair(8, 1, 1, 0, min_work=6 * 8 * 12 * 11)
    x = torch.rand(1, 8, 11, 11, requires_grad=True)
    assert "OneDnn" not in type(ours(x).grad_fn).__name__
    if private_torch.has_onednn():
        assert "OneDnn" in type(ours(torch.rand(1, 8, 12, 11, requires_grad=True)).grad_fn).__name__


@pytest.mark.parametrize(
    "more",
    [{"groups": 3}, {"dilation": 2}, {"padding_mode": "reflect"}, {"padding": "same"}, {"padding": 4}, {"bias": False}],
)
def test_other_convolutions_are_left_to_torch(more):
    options = {"padding": 1, **more}
    plain, ours = pair(3, 3, 1, **options)
    x = torch.randn(2, 3, 12, 13)
    for found, expected in zip(slope(ours, x), slope(plain, x), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_other_types_and_autocast_are_left_to_torch():
    plain, ours = pair(3, 1, 1, 0)
    x = torch.rand(1, 3, 9, 9)
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(x).dtype == torch.bfloat16
        assert torch.equal(ours(x), plain(x))
    assert torch.equal(ours.double()(x.double()), plain.double()(x.double()))


def test_weights_are_cast_once(monkeypatch):
    plain, ours = pair(3, 3, 1, 1)
    x, calls = torch.rand(1, 3, 9, 9), []
    whole = torch.Tensor.to
    with torch.autocast("cpu", torch.bfloat16):
        expected = slope(plain, x)
        first = slope(ours, x)
        monkeypatch.setattr(torch.Tensor, "to", lambda *given, **more: calls.append(given) or whole(*given, **more))
        for found in (first, slope(ours, x)):
            assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    assert not calls
    ours.double().float()  # other weights, to be cast where nothing has a gradient
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        ours(x)
    with torch.autocast("cpu", torch.bfloat16):
        slope(ours, x)
    ours.requires_grad_(True)
    with torch.autocast("cpu", torch.bfloat16):
        ours(x).float().square().sum().backward()
    assert ours.weight.grad is not None


def test_a_fast_convolution_can_be_copied_pickled_and_traced():
    _, ours = pair(3, 1, 1, 0)
    x = torch.rand(1, 3, 9, 9)
    for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours)), fx.symbolic_trace(nn.Sequential(ours))):
        torch.testing.assert_close(other(x), ours(x))
    assert type(copy.deepcopy(ours)) is Conv2d
    assert repr(ours) == "Conv2d(3, 6, kernel_size=(1, 1), stride=(1, 1))"


def test_a_bias_that_is_part_of_a_larger_tensor_is_read_right():
    """oneDNN itself would take its neighbors."""
    torch.manual_seed(0)
    module, whole = nn.Sequential(nn.Conv2d(16, 64, 3, padding=1)), torch.randn(64, 2)
    module[0].bias = nn.Parameter(whole[:, 0])
    module.requires_grad_(False).to(memory_format=torch.channels_last)
    x = torch.rand(1, 16, 15, 15).contiguous(memory_format=torch.channels_last)
    expected = torch.nn.functional.conv2d(x, module[0].weight, whole[:, 0].contiguous(), padding=1)
    use_fast_convs(module)
    torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-4)
