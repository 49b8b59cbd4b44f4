"""What is kept of the photo: features with the style's contrasts, and light and shade."""

from __future__ import annotations

import pytest
import torch

import cnnviz
from cnnviz.imaging.pixel_ops import luminance
from cnnviz.style.content_loss import FeatureTarget, LightnessTarget, restyled_features
from cnnviz.style.losses import LossWeights, StyleLoss
from cnnviz.style.regions import make_regions
from cnnviz.synthesis.feature_statistics import Moments, moments
from cnnviz.synthesis.texture_target import TextureTarget, measure_texture
from cnnviz.synthesis.tiling import plan_tiles


class Tiny(torch.nn.Module):
    """Two convolutions in float64."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 5, 3, stride=2)
        self.head = torch.nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.second(self.first(x).relu()).mean((2, 3)))


@pytest.fixture(scope="module")
def tiny():
    return cnnviz.Network(Tiny(), labels=("a", "b")).to(torch.float64)


def _noise(seed, height=24, width=30, count=1):
    return torch.rand(count, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _restyled(features, style):
    """AdaIN, written out: channels with the mean and deviation of the style's."""
    mean, deviation = features.mean((2, 3), keepdim=True), features.std((2, 3), correction=0, keepdim=True)
    faint = 0.1 * deviation.square().mean().sqrt()
    wanted, spread = style.mean((2, 3), keepdim=True), style.std((2, 3), correction=0, keepdim=True)
    return (features - mean) / (deviation + faint) * spread + wanted, wanted


def test_restyled_features_are_adains_and_the_error_is_relative_to_their_variance(tiny):
    photo, style, image = _noise(1), _noise(2, 20, 20) ** 2, _noise(3)
    target = measure_texture(tiny, [style], {"second": 1.0})
    weights = LossWeights(content=1.0, style=0.0, palette=0.0, tv=0.0)
    loss = StyleLoss(tiny, photo, ["second"], [(make_regions(1)[0], target)], weights, adain=True)
    seen = {name: tiny.features(x, ["second"])["second"] for name, x in (("p", photo), ("s", style), ("x", image))}
    wanted, mean = _restyled(seen["p"], seen["s"])
    energy = (wanted - mean).square().sum() + 1e-3 * wanted.square().sum()
    expected = (seen["x"] - wanted).square().sum() / energy
    assert float(loss(image)[1]["content"]) == pytest.approx(float(expected), rel=1e-9)


def test_a_photo_restyled_to_its_own_contrasts_is_itself_but_for_faint_channels(tiny):
    photo = _noise(4)
    target = measure_texture(tiny, [photo], {"second": 1.0})
    loss = StyleLoss(tiny, photo, ["second"], [(make_regions(1)[0], target)], LossWeights(1, 0, 0, 0), adain=True)
    assert float(loss(photo)[1]["content"]) < 0.02


@pytest.mark.parametrize("masked", [False, True])
def test_restyled_in_tiles_is_restyled_whole(tiny, masked):
    photo, image = _noise(5, 40, 44), _noise(6, 40, 44)
    left = torch.zeros(1, 1, 40, 44, dtype=torch.float64)
    left[..., :20] = 1
    regions = make_regions(2, None, [left, 1 - left]) if masked else make_regions(1)
    targets = [measure_texture(tiny, [_noise(7 + i) ** (1 + i)], {"second": 1.0}) for i in range(len(regions))]
    found = [
        StyleLoss(
            *(tiny, photo, ["second"], list(zip(regions, targets, strict=True)), LossWeights(1, 1, 1, 1, 1)),
            tile=tile,
            adain=True,
        )(image)[0]
        for tile in (0, 24)
    ]
    assert float(found[0]) == pytest.approx(float(found[1]), rel=1e-9)


def test_each_region_is_restyled_to_its_own_style(tiny):
    photo = _noise(8)
    left = torch.zeros(1, 1, 24, 30, dtype=torch.float64)
    left[..., :14] = 1
    regions = make_regions(2, None, [left, 1 - left])
    targets = [
        measure_texture(tiny, [_noise(9)], {"first": 1.0}),
        measure_texture(tiny, [_noise(10) ** 3], {"first": 1}),
    ]
    tiles = plan_tiles(tiny, ["first"], (24, 30), 0)
    both = FeatureTarget(tiny, photo, ["first"], tiles, list(zip(regions, targets, strict=True)), True)
    both.set_reference(photo, [region.mask for region in regions])
    for target, columns in zip(targets, (slice(0, 10), slice(18, 28)), strict=True):
        alone = FeatureTarget(tiny, photo, ["first"], tiles, [(make_regions(1)[0], target)], True)
        alone.set_reference(photo, [None])
        assert torch.allclose(
            both.targets["first", 0][..., columns], alone.targets["first", 0][..., columns], atol=1e-4
        )


def test_light_and_shade_are_the_photos_with_the_styles_mean_and_contrast():
    photo, style = _noise(11, 32, 40), 0.3 + 0.2 * _noise(12)
    target = TextureTarget({}, {}, moments(style), "gram")
    wanted = LightnessTarget(photo, [(make_regions(1)[0], target)], [None])
    gray, light = luminance(photo), luminance(style)
    own = (gray - gray.mean()) / (1.1 * gray.std(correction=0)) * light.std(correction=0) + light.mean()
    assert torch.allclose(wanted.target, own, atol=1e-9)
    assert float(wanted.error(own.expand(1, 3, -1, -1))) == pytest.approx(0, abs=1e-12)
    assert float(wanted.error(torch.full_like(photo, float(light.mean())))) == pytest.approx(1, rel=1e-6)


def test_light_and_shade_are_coarse_whatever_the_size():
    flat = TextureTarget({}, {}, Moments(torch.full((1, 3), 0.5), torch.eye(3)[None]), "gram")
    small, large = (LightnessTarget(torch.rand(1, 3, s, s), [(make_regions(1)[0], flat)], [None]) for s in (96, 512))
    assert small.size == large.size == (64, 64)


def test_a_batch_of_photos_has_the_targets_of_each_alone():
    photos, styles = _noise(21, 32, 40, count=2), [0.3 + 0.2 * _noise(22), 0.6 * _noise(23)]
    found = [moments(style) for style in styles]
    both = Moments(torch.cat([m.mean for m in found]), torch.cat([m.gram for m in found]))
    pixels = _noise(24, 32, 40, count=2)
    alone = sum(
        LightnessTarget(photos[i : i + 1], [(make_regions(1)[0], TextureTarget({}, {}, found[i]))], [None]).error(
            pixels[i : i + 1]
        )
        for i in range(2)
    )
    together = LightnessTarget(photos, [(make_regions(1)[0], TextureTarget({}, {}, both))], [None]).error(pixels)
    assert torch.allclose(together, alone)


def test_restyled_features_are_the_targets_of_an_optimization(tiny):
    photo, style = _noise(31, 24, 24), 0.3 + 0.2 * _noise(32)
    target = measure_texture(tiny, [style], {"first": 1.0})
    tiles = plan_tiles(tiny, ["first"], (24, 24), 0)
    wanted = FeatureTarget(tiny, photo, ["first"], tiles, [(make_regions(1)[0], target)], True)
    wanted.set_reference(photo, [None])
    maps, energy = restyled_features(tiny.features(photo, ["first"])["first"], target.layers["first"])
    assert torch.allclose(maps, wanted.targets["first", 0], atol=1e-4)
    assert torch.allclose(energy, wanted.energies["first"], rtol=1e-3)
