"""Textures: the sample's statistics at any size, seams, gray samples; and the pixel-by-pixel baseline."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.imaging.pixels import to_pil_image, to_pixels
from cnnviz.network.default_layers import style_layers
from cnnviz.network.network_transforms import with_average_pooling
from cnnviz.synthesis.efros_leung import efros_leung_texture
from cnnviz.synthesis.feature_statistics import gram_distance, moments
from cnnviz.synthesis.grid_shift import GridShift
from cnnviz.synthesis.sliced_wasserstein import SlicedWasserstein
from cnnviz.synthesis.texture import synthesize_texture
from cnnviz.synthesis.texture_loss import TextureLoss, texture_of
from cnnviz.synthesis.texture_target import layer_moments, reflection_pad


@pytest.fixture(scope="module")
def gravel(samples):
    return cnnviz.read_image(samples / "gravel.png", size=64)


@pytest.fixture(scope="module")
def mosaic(samples):
    return cnnviz.read_image(samples / "mosaic.jpg", size=64)


def _seam_ratios(pixels):
    """The mean step over each border where the image is tiled, as a share of that between neighbors inside."""
    across_and_down = [(pixels - pixels.roll(1, axis)).abs().mean((0, 1, 5 - axis)) for axis in (2, 3)]
    return [float(steps[0] / steps[1:].mean()) for steps in across_and_down]


def test_size_range_and_seed(squeezenet, mosaic):
    made = synthesize_texture(squeezenet, mosaic, (48, 80), steps=6, seed=3)
    assert made.shape == (1, 3, 48, 80)
    assert 0 <= float(made.min()) <= float(made.max()) <= 1
    assert torch.equal(made, synthesize_texture(squeezenet, mosaic, (48, 80), steps=6, seed=3))
    assert (made - synthesize_texture(squeezenet, mosaic, (48, 80), steps=6, seed=4)).abs().max() > 0.1


def test_a_small_sample_has_wasserstein_distances_too(squeezenet, mosaic):
    """Its deep layers have fewer positions than channels."""
    seen = []
    settings = {"steps": 4, "scales": 1, "style_loss": "wasserstein", "distribution_weight": 0.0}
    small = F.interpolate(mosaic, (48, 48), mode="area")
    made = synthesize_texture(squeezenet, small, on_step=lambda step: seen.append(step.terms["texture"]), **settings)
    assert made.isfinite().all()
    assert seen[-1] < seen[0]


def test_the_network_is_left_as_it_was(squeezenet, mosaic):
    before = {name: value.clone() for name, value in squeezenet.module.state_dict().items()}
    synthesize_texture(squeezenet, mosaic, (32, 32), steps=4)
    assert all(torch.equal(value, before[name]) for name, value in squeezenet.module.state_dict().items())
    assert all(p.grad is None for p in squeezenet.module.parameters())


def _apart(squeezenet, found, sample):
    """Mean over the layers of ``||G - A||² / ||A||²``, of the image as it tiles and the sample within reflections,
    by the network with average pooling, without the positions that see zeros beyond the border."""
    network, layers = with_average_pooling(squeezenet), list(style_layers(squeezenet).style)
    around = F.pad(found, (64, 64, 64, 64), mode="circular")
    room = 48 if min(sample.shape[2:]) <= 64 else 64
    a = layer_moments(network, around, layers, border=64)
    b = layer_moments(network, reflection_pad(sample, room), layers, border=room)
    return sum(float(gram_distance(a[k], b[k])) for k in layers) / len(layers)


@pytest.mark.slow
def test_larger_than_the_sample_it_keeps_the_statistics(squeezenet, gravel):
    """Eight-bit, three times the sample's area; the quarters of a photo of gravel are farther apart than this."""
    made = to_pixels(to_pil_image(synthesize_texture(squeezenet, gravel, (96, 128), steps=100)))
    assert _apart(squeezenet, made, gravel) < 0.03
    # No copy: wherever the sample is laid, the image is another.
    nearest = min(
        float((made[:, :, y : y + 64, x : x + 64] - gravel).square().mean())
        for y in range(0, 33, 4)
        for x in range(0, 65, 4)
    )
    assert nearest > 0.5 * float(gravel.var())


def test_distributions_distinguish_an_even_texture_from_a_patchy_one():
    """Half flat and half doubled has the mean and covariance of the even one; its projections tell them apart."""
    chance = torch.Generator().manual_seed(0)
    even = torch.randn(1, 6, 40, 40, generator=chance, dtype=torch.float64)
    patchy = even.clone()
    patchy[:, :, :20] *= 2**0.5
    patchy[:, :, 20:] *= 1e-3
    distance = SlicedWasserstein({"a": even})
    distance.draw(1)
    assert float(distance("a", even)) == 0
    assert float(distance("a", even.flip(3))) == pytest.approx(0, abs=1e-20)
    assert float(gram_distance(moments(patchy), moments(even))) < 0.02
    assert float(distance("a", patchy)) > 0.05


def test_the_sliced_distance_is_that_of_sorted_projections():
    """Heitz et al. 2021, equation 8, on all lines of an orthogonal basis, over the variance along them."""
    chance = torch.Generator().manual_seed(1)
    found, wanted = (torch.randn(1, 4, 5, 6, generator=chance, dtype=torch.float64) for _ in range(2))
    distance = SlicedWasserstein({"a": wanted})
    distance.draw(7)
    projections = distance.projections["a"].numpy()
    assert np.allclose(projections.T @ projections, np.eye(4))
    a, b = (np.sort(x[0].flatten(1).numpy().T @ projections, axis=0) for x in (found, wanted))
    assert float(distance("a", found)) == pytest.approx(((a - b) ** 2).mean() / b.var(axis=0).mean(), rel=1e-10)


def test_statistics_in_tiles_are_those_of_the_whole(squeezenet, gravel):
    """In tiles, without distributions, the very same loss; with them each tile is compared by itself."""
    target, distributions = texture_of(squeezenet, gravel, {"relu1": 1.0, "fire4": 1.0}, "gram")
    image = torch.rand(1, 3, 160, 224, generator=torch.Generator().manual_seed(2))
    found = []
    for tile in (0, 192):
        loss = TextureLoss(squeezenet, target, (160, 224), 1.0, GridShift(16, 1, 0, circular=True), tile=tile)
        loss.before_step(1)
        pixels = image.clone().requires_grad_()
        value, _ = loss(pixels)
        found.append((float(value.detach()), torch.autograd.grad(value, pixels)[0], len(loss.tiles)))
    assert found[0][2] == 1 < found[1][2]
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-5)
    assert torch.allclose(found[1][1], found[0][1], atol=1e-4 * float(found[0][1].abs().max()))
    shift = GridShift(16, 1, 0, circular=True)
    apart = TextureLoss(squeezenet, target, (160, 224), 1.0, shift, distributions, 1.0, tile=192)
    apart.before_step(1)
    assert float(apart(image)[1]["distribution"]) > 0


def test_a_gray_sample_gives_a_gray_texture(squeezenet, gravel):
    made = synthesize_texture(squeezenet, gravel, (32, 48), steps=8)
    assert torch.allclose(made[:, 0], made[:, 2], atol=1e-6)


@pytest.mark.slow
def test_seamless_borders_fit_and_others_do_not(squeezenet, samples):
    gravel = cnnviz.read_image(samples / "gravel.png", size=128)
    plain = synthesize_texture(squeezenet, gravel, (96, 96), steps=80, seamless=False)
    assert max(_seam_ratios(plain)) > 1.6
    ratios = []
    for seed in range(3):
        seamless = synthesize_texture(squeezenet, gravel, (96, 96), steps=80, seed=seed)
        ratios += _seam_ratios(seamless)
        for axis in (2, 3):  # nor is there a grid, of which the seam would be a line
            steps = (seamless - seamless.roll(1, axis)).abs().mean((0, 1, 5 - axis))
            assert float(steps[::2].mean() / steps[1::2].mean()) == pytest.approx(1, abs=0.04)
    assert sum(ratios) / len(ratios) < 1.2  # of one row of gravel a step may well be a third more than of another


def test_invalid_settings_are_refused(squeezenet, mosaic):
    for settings in ({"style_loss": "mean"}, {"layer_weights": [1.0]}, {"steps": 0}, {"layers": ["nowhere"]}):
        with pytest.raises(UsageError):
            synthesize_texture(squeezenet, mosaic, (32, 32), **{"steps": 2, **settings})


def test_scanline_texture_copies_colors_and_continues_a_pattern():
    """Stripes of period 4 are the only neighborhoods there are: what grows must be stripes too."""
    across = torch.arange(32) % 4 < 2
    sample = across.float().expand(1, 3, 32, 32).contiguous()
    made = efros_leung_texture(sample, (24, 40), window=9, seed=1)
    assert made.shape == (1, 3, 24, 40)
    assert set(made.flatten().tolist()) == {0.0, 1.0}
    below = made[0, 0, 8:, 8:-8]
    assert torch.equal(below[:-1], below[1:])  # no stripe ends
    runs = "".join(str(int(v)) for v in below[0].tolist())
    assert "111" not in runs and "000" not in runs


def test_scanline_texture_is_repeatable_and_checks_its_window(mosaic):
    small = mosaic[..., :24, :24]
    assert torch.equal(efros_leung_texture(small, (12, 16), seed=5), efros_leung_texture(small, (12, 16), seed=5))
    for window in (4, 1, 31):
        with pytest.raises(UsageError):
            efros_leung_texture(small, window=window)
