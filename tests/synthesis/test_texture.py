"""Textures: the sample's statistics at any size, seams, grey samples; and the pixel-by-pixel baseline."""

from __future__ import annotations

import pytest
import torch

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.network.variants import with_average_pooling
from cnnviz.synthesis import scanline_texture, synthesize_texture
from cnnviz.synthesis.moments import gram_distance, moments
from cnnviz.synthesis.painting_layers import painting_layers


@pytest.fixture(scope="module")
def gravel(samples):
    return cnnviz.read_image(samples / "gravel.png", size=64)


@pytest.fixture(scope="module")
def mosaic(samples):
    return cnnviz.read_image(samples / "mosaic.jpg", size=64)


def _edge_ratio(pixels):
    """The step over the border where the picture is tiled, as a share of steps between neighbours inside."""
    down = (pixels[:, :, 0] - pixels[:, :, -1]).abs().mean() / (pixels[:, :, 1:] - pixels[:, :, :-1]).abs().mean()
    across = (pixels[..., 0] - pixels[..., -1]).abs().mean() / (pixels[..., 1:] - pixels[..., :-1]).abs().mean()
    return max(float(down), float(across))


def test_size_range_and_seed(squeezenet, mosaic):
    made = synthesize_texture(squeezenet, mosaic, (48, 80), steps=6, seed=3)
    assert made.shape == (1, 3, 48, 80)
    assert 0 <= float(made.min()) <= float(made.max()) <= 1
    assert torch.equal(made, synthesize_texture(squeezenet, mosaic, (48, 80), steps=6, seed=3))
    assert not torch.equal(made, synthesize_texture(squeezenet, mosaic, (48, 80), steps=6, seed=4))


def test_the_network_is_left_as_it_was(squeezenet, mosaic):
    before = {name: value.clone() for name, value in squeezenet.module.state_dict().items()}
    synthesize_texture(squeezenet, mosaic, (32, 32), steps=4)
    assert all(torch.equal(value, before[name]) for name, value in squeezenet.module.state_dict().items())
    assert all(p.grad is None for p in squeezenet.module.parameters())


def test_larger_than_the_sample_it_keeps_the_statistics(squeezenet, gravel):
    made = synthesize_texture(squeezenet, gravel, (96, 128), steps=80)
    network, layers = with_average_pooling(squeezenet), list(painting_layers(squeezenet).style)
    with torch.no_grad():
        found, wanted = network.features(made, layers), network.features(gravel, layers)
    assert sum(float(gram_distance(moments(found[k]), moments(wanted[k]))) for k in layers) / len(layers) < 0.1


def test_a_grey_sample_gives_a_grey_texture(squeezenet, gravel):
    made = synthesize_texture(squeezenet, gravel, (32, 48), steps=8)
    assert torch.allclose(made[:, 0], made[:, 2], atol=1e-6)


@pytest.mark.slow
def test_seamless_borders_fit_and_others_do_not(squeezenet, samples):
    brick = cnnviz.read_image(samples / "gravel.png", size=128)
    seamless = synthesize_texture(squeezenet, brick, (96, 96), steps=80, seamless=True)
    plain = synthesize_texture(squeezenet, brick, (96, 96), steps=80, seamless=False)
    assert _edge_ratio(seamless) < 1.25
    assert _edge_ratio(plain) > 1.6


def test_settings_that_make_no_sense_are_refused(squeezenet, mosaic):
    for settings in ({"statistic": "mean"}, {"layer_weights": [1.0]}, {"steps": 0}, {"layers": ["nowhere"]}):
        with pytest.raises(UsageError):
            synthesize_texture(squeezenet, mosaic, (32, 32), **{"steps": 2, **settings})


def test_scanline_texture_copies_colours_and_continues_a_pattern():
    """Stripes of period 4 are the only neighbourhoods there are: what grows must be stripes too."""
    across = torch.arange(32) % 4 < 2
    sample = across.float().expand(1, 3, 32, 32).contiguous()
    made = scanline_texture(sample, (24, 40), window=9, seed=1)
    assert made.shape == (1, 3, 24, 40)
    assert set(made.flatten().tolist()) == {0.0, 1.0}
    below = made[0, 0, 8:, 8:-8]
    assert torch.equal(below[:-1], below[1:])  # no stripe ends
    runs = "".join(str(int(v)) for v in below[0].tolist())
    assert "111" not in runs and "000" not in runs


def test_scanline_texture_is_repeatable_and_checks_its_window(mosaic):
    small = mosaic[..., :24, :24]
    assert torch.equal(scanline_texture(small, (12, 16), seed=5), scanline_texture(small, (12, 16), seed=5))
    for window in (4, 1, 31):
        with pytest.raises(UsageError):
            scanline_texture(small, window=window)
