"""Pixels that are no floats in [0, 1] of the right shape are refused with what to do, or warned of; never cut off."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_pixels
from cnnviz.imaging.pixels import to_pil_image

GOOD = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
BYTES = (GOOD * 255).byte()
LOOKING = {
    "call": lambda net, x: net(x),
    "logits": lambda net, x: net.logits(x),
    "predict": lambda net, x: net.predict(x),
    "features": lambda net, x: net.features(x, ["fire5"]),
    "saliency": cnnviz.saliency,
    "smoothgrad": lambda net, x: cnnviz.smoothgrad(net, x, samples=1),
    "integrated": lambda net, x: cnnviz.integrated_gradients(net, x, steps=1),
    "input x gradient": cnnviz.input_x_gradient,
    "grad_cam": cnnviz.grad_cam,
    "guided": cnnviz.guided_backprop,
    "occlusion": lambda net, x: cnnviz.occlusion(net, x, patch=32, stride=32),
    "invert": lambda net, x: cnnviz.invert(net, x, "fire3", steps=1),
    "deletion": lambda net, x: cnnviz.deletion_curve(net, x, torch.rand(1, 1, 64, 64), steps=1),
}
CHANGING = {
    "fgsm": cnnviz.fgsm,
    "iterative": lambda net, x: cnnviz.iterative_fgsm(net, x, steps=1),
    "deepfool": lambda net, x: cnnviz.deepfool(net, x, steps=1),
    "ascent": lambda net, x: cnnviz.fooling_image(net, x, 3, steps=1),
    "universal": lambda net, x: cnnviz.universal_perturbation(net, x, passes=1),
    "fooling rate": lambda net, x: cnnviz.fooling_rate(net, x, torch.zeros(1, 3, 64, 64)),
    "dream": lambda net, x: cnnviz.dream(net, x, octaves=1, steps=1),
    "texture": lambda net, x: cnnviz.synthesize_texture(net, x, size=(32, 32), steps=1),
    "style": lambda net, x: cnnviz.transfer_style(net, x, GOOD, steps=1),
}
ALL = LOOKING | CHANGING
WRONG = {
    "bytes": (BYTES, r"type uint8: pixels / 255"),
    "integers": (BYTES.long(), r"type int64: pixels / 255"),
    "bytes, channels last": (BYTES[0].permute(1, 2, 0), r"channels last: pixels.permute\(2, 0, 1\)\[None\] / 255"),
    "a NumPy array": (BYTES[0].permute(1, 2, 0).numpy(), r"torch.from_numpy\(a\).permute\(2, 0, 1\)\[None\] / 255"),
    "floats of NumPy": (GOOD.numpy(), r"NumPy array of the type float32 .*torch.from_numpy\(a\) converts it"),
    "a PIL image": (Image.new("RGB", (64, 64)), "to_pixels"),
    "a path": ("photo.png", "read_image"),
    "a list": ([GOOD], "torch.cat"),
    "one picture": (GOOD[0], r"pixels\[None\]"),
    "channels last": (GOOD.permute(0, 2, 3, 1), r"pixels.permute\(0, 3, 1, 2\)"),
    "gray": (GOOD[:, :1], r"pixels.expand\(-1, 3, -1, -1\)"),
    "no pixels": (GOOD[:, :, :0], "shape"),
    "complex numbers": (GOOD.to(torch.complex64), "complex64"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_are_no_pixels_is_said_and_what_to_do(what):
    pixels, message = WRONG[what]
    with pytest.raises(UsageError, match=message):
        require_pixels(pixels)


@pytest.mark.parametrize("technique", ALL)
def test_every_technique_refuses_bytes_and_arrays(squeezenet, technique):
    for what in ("bytes", "a NumPy array", "one picture"):
        with pytest.raises(UsageError, match="Pixels are a float tensor"):
            ALL[technique](squeezenet, WRONG[what][0])


@pytest.mark.parametrize("technique", CHANGING)
@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (GOOD * 255, "divide bytes by 255"),
        (GOOD * 2 - 1, "not normalized"),
        (GOOD.index_fill(1, torch.tensor([0]), torch.nan), "NaN"),
    ],
)
def test_what_changes_pixels_refuses_those_it_would_cut_off(squeezenet, technique, pixels, message):
    with pytest.raises(UsageError, match=message):
        CHANGING[technique](squeezenet, pixels)


@pytest.mark.parametrize("technique", [name for name in LOOKING if name != "logits"])
def test_what_looks_at_them_warns(squeezenet, technique):
    with pytest.warns(UserWarning, match="from .* to .*: divide bytes by 255") as met:
        LOOKING[technique](squeezenet, GOOD * 255)
    assert met[0].filename == __file__


@pytest.mark.parametrize("technique", ALL)
def test_good_pixels_pass_without_a_word(squeezenet, technique):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ALL[technique](squeezenet, GOOD)


@pytest.mark.parametrize("technique", [*ALL])
def test_pixels_made_in_inference_mode_and_calls_within_it(squeezenet, technique):
    with torch.inference_mode():
        made = GOOD.clone()
        within = ALL[technique](squeezenet, made)
    found, expected = (ALL[technique](squeezenet, pixels) for pixels in (made, GOOD))
    for value in (within, found):
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (GOOD * 255, "divide bytes by 255"),
        (GOOD - 0.5, "not normalized"),
        (GOOD * 1.01, "from .* to 1.01"),
        (torch.full((1, 3, 4, 4), torch.nan), "NaN"),
        (np.full((4, 4), np.inf), "infinite"),
        (BYTES.long(), "not int64"),
    ],
)
def test_pixels_to_be_written_are_never_cut_off_in_silence(tmp_path, pixels, message):
    with pytest.raises(UsageError, match=message):
        cnnviz.write_image(pixels, tmp_path / "out.png")
    assert not list(tmp_path.iterdir())


def test_what_rounds_to_black_or_white_is_written():
    photo = to_pil_image(torch.tensor([-0.0019, 1.0019]).view(1, 1, 1, 2))
    assert list(photo.tobytes()) == [0, 255]
    assert list(to_pil_image(torch.tensor([-3.0, 7.0]).view(1, 1, 1, 2), clamp=True).tobytes()) == [0, 255]
