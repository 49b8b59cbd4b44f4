"""Dreams against a straightforward reference, and on real photos."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.imaging.pixel_ops import transfer_color
from cnnviz.imaging.pixels import to_pil_image, to_pixels
from cnnviz.network.default_layers import dream_layers
from cnnviz.network.network import Network
from cnnviz.synthesis.deepdream import (
    DreamObjective,
    DreamTarget,
    activation_gain,
    dream,
    octave_sizes,
)
from cnnviz.synthesis.dream_zoom import dream_zoom, later_frame_settings, zoom_in
from cnnviz.synthesis.settings import DreamSettings
from cnnviz.synthesis.tiled_gradient import TiledGradient


@pytest.fixture
def net():
    torch.manual_seed(5)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    return Network(nn.Sequential(nn.Conv2d(3, 6, 5, 2), nn.ReLU(), nn.Conv2d(6, 4, 3), head).double())


@pytest.fixture
def photo():
    return torch.rand(1, 3, 70, 91, generator=torch.Generator().manual_seed(6), dtype=torch.float64)


def _reference(net, photo, octaves, scale, steps, jitter, seed):
    """The recipe written down once more, with nothing shared."""
    chance = torch.Generator().manual_seed(seed)
    mean = torch.tensor(net.spec.mean, dtype=torch.float64).view(1, 3, 1, 1)
    std = torch.tensor(net.spec.std, dtype=torch.float64).view(1, 3, 1, 1)
    detail = None
    for k in reversed(range(octaves)):
        size = (round(70 / scale**k), round(91 / scale**k))
        small = photo if k == 0 else F.interpolate(photo, size, mode="bilinear", antialias=True)
        if detail is None:
            detail = torch.zeros_like(small)
        elif detail.shape != small.shape:
            detail = F.interpolate(detail, size, mode="bilinear", antialias=True)
        x = (small + detail).clamp(0, 1)
        reach = min(jitter, size[0] // 4, size[1] // 4)
        for _ in range(steps):
            dy, dx = torch.randint(-reach, reach + 1, (2,), generator=chance).tolist()
            moved = torch.roll(x, (dy, dx), (2, 3)).requires_grad_()
            loss = net.module[:3]((moved - mean) / std).pow(2).mean() / 2
            loss.backward()
            gradient = torch.roll(moved.grad, (-dy, -dx), (2, 3))
            x = (x + 0.005 * gradient / gradient.abs().mean()).clamp(0, 1).detach()
        detail = x - small
    return x


def test_octaves_and_jitter_are_those_of_a_plain_reference(net, photo):
    before = [p.clone() for p in net.module.parameters()]
    found = dream(net, photo, ["2"], octaves=3, octave_scale=1.3, steps=4, jitter=9, seed=11)
    torch.testing.assert_close(found, _reference(net, photo, 3, 1.3, 4, 9, 11), atol=1e-10, rtol=0)
    assert all(torch.equal(a, b) for a, b in zip(before, net.module.parameters(), strict=True))


def test_a_seed_determines_the_dream(net, photo):
    first, again, other = (dream(net, photo, ["2"], octaves=2, steps=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 0.01


def test_octaves_too_small_for_the_network_are_left_out():
    assert octave_sizes((100, 150), 3, 2.0, 20) == [(25, 38), (50, 75), (100, 150)]
    assert octave_sizes((100, 150), 3, 2.0, 40) == [(50, 75), (100, 150)]
    assert octave_sizes((10, 150), 3, 2.0, 40) == [(10, 150)]


def test_a_tiled_gradient_is_that_of_the_mean_over_the_tiles(net, photo):
    objective = DreamObjective(net, [DreamTarget("2")])
    x = photo.clone().requires_grad_()
    value = TiledGradient(40, torch.Generator().manual_seed(0))(x, objective)
    (gradient,) = torch.autograd.grad(value, x)

    chance = torch.Generator().manual_seed(0)
    down, right = int(torch.randint(35, (1,), generator=chance)), int(torch.randint(30, (1,), generator=chance))
    y = photo.clone().requires_grad_()
    moved = y.roll((down, right), (2, 3))
    tiles = [moved[..., a:b, c:d] for a, b in ((0, 35), (35, 70)) for c, d in ((0, 30), (30, 61), (61, 91))]
    total = sum(objective(tile) * tile[0, 0].numel() for tile in tiles) / (70 * 91)
    torch.testing.assert_close(value, total)
    torch.testing.assert_close(gradient, torch.autograd.grad(total, y)[0])


def test_one_channel_only(net, photo):
    gains = {}
    for channel in range(2):
        found = dream(net, photo, [DreamTarget("2", channel)], octaves=1, steps=12)
        maps = [net.features(x, ["2"])["2"][0].square().mean((1, 2)) for x in (photo, found)]
        gains[channel] = (maps[1] / maps[0])[channel]
    assert min(gains.values()) > 1


def test_a_guide_draws_features_to_its_own(net, photo):
    guide = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    match = DreamObjective(net, [DreamTarget("2")], guide)
    rows = net.features(photo, ["2"])["2"].flatten(2)[0].T
    wanted = net.features(guide, ["2"])["2"].flatten(2)[0].T
    torch.testing.assert_close(match(photo), (rows @ wanted.T).max(1).values.mean())
    found = dream(net, photo, ["2"], guide=guide, octaves=1, steps=8)
    assert float(match(found)) > float(match(photo))


def test_color_is_given_back_and_lightness_kept():
    chance = torch.Generator().manual_seed(0)
    photo, dreamt = (0.3 + 0.4 * torch.rand(1, 3, 8, 8, generator=chance) for _ in range(2))
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    full = transfer_color(dreamt, photo, 1.0)
    inside = (full > 0).all(1, keepdim=True) & (full < 1).all(1, keepdim=True)
    luma = [(x * weights).sum(1, keepdim=True) for x in (photo, dreamt, full)]
    assert int(inside.sum()) > 40
    torch.testing.assert_close(luma[2][inside], luma[1][inside], atol=1e-6, rtol=0)
    chroma = [(x - y).masked_select(inside) for x, y in ((photo, luma[0]), (full, luma[2]))]
    torch.testing.assert_close(*chroma, atol=1e-6, rtol=0)
    assert transfer_color(dreamt, photo, 0.0) is dreamt


def test_a_zoom_enlarges_the_center():
    image = torch.rand(1, 3, 40, 60, generator=torch.Generator().manual_seed(0))
    image = F.avg_pool2d(F.pad(image, (4, 4, 4, 4), mode="reflect"), 9, 1)
    enlarged = zoom_in(image, 2.0)
    expected = F.interpolate(image[..., 10:30, 15:45], (40, 60), mode="bicubic")
    torch.testing.assert_close(enlarged[..., 5:-5, 5:-5], expected[..., 5:-5, 5:-5], atol=5e-3, rtol=0)


def test_each_frame_of_a_zoom_is_the_dream_of_the_one_before_enlarged(net, photo):
    settings = DreamSettings(octaves=3, octave_scale=1.3, steps=5, color_share=0.5)
    later, steps = later_frame_settings(settings), []
    assert (later.steps, later.octaves, later.color_share) == (1, 2, 0.0)
    found = dream_zoom(
        *(net, photo, ["2"]), frames=3, factor=1.1, degrees=4, settings=settings, seed=7, on_step=steps.append
    )
    expected = [dream(net, photo, ["2"], settings=settings, seed=7)]
    for seed in (8, 9):
        expected.append(dream(net, zoom_in(expected[-1], 1.1, 4), ["2"], settings=later, seed=seed))
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    assert [step.step for step in steps] == list(range(1, steps[0].total + 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": ["7"]}, "no layer"),
        ({"layers": [DreamTarget("2", 4)]}, "channels 0 to 3"),
        ({"octaves": 0}, "at least one octave"),
        ({"octave_scale": 1.0}, "above 1"),
    ],
)
def test_invalid_arguments_are_refused(net, photo, arguments, message):
    with pytest.raises(UsageError, match=message):
        dream(net, photo, **{"layers": ["2"], **arguments})


@pytest.mark.parametrize(
    ("name", "layer"),
    [("squeezenet1_1", "fire7"), ("googlenet", "inception4c"), ("vgg11", "relu4_2"), ("resnet18", "layer3")],
)
def test_every_family_has_layers_to_dream_of(name, layer):
    from cnnviz.network.loading import load_meta_network

    network = load_meta_network(name)
    found = dream_layers(network)
    assert found == (layer,) or name == "vgg11"
    network.layers.node(found[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["astronaut.png", "rocket.jpg"])
def test_a_dream_at_defaults_raises_its_layer_threefold_on_the_written_image(squeezenet, samples, name):
    photo = cnnviz.read_image(samples / name, 512)
    written = to_pixels(to_pil_image(dream(squeezenet, photo, color_share=0.3)))
    assert written.shape == photo.shape
    assert activation_gain(squeezenet, photo, written, ["fire7"]) >= 3
    change = (written - photo).abs().mean((0, 1))
    middle, border = change[32:-32, 32:-32].mean(), torch.cat([change[:4].flatten(), change[-4:].flatten()]).mean()
    assert float(border) < 2 * float(middle)  # no frame
