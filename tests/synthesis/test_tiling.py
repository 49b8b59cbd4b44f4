"""Features computed in tiles: the same sums and gradients as of the whole image, to the last bits of float64."""

from __future__ import annotations

import pytest
import torch

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.style.losses import LossWeights, StyleLoss
from cnnviz.style.regions import make_regions
from cnnviz.synthesis.feature_statistics import DISTANCES
from cnnviz.synthesis.grid_shift import GridShift
from cnnviz.synthesis.texture_target import layer_moments, measure_texture
from cnnviz.synthesis.tiling import plan_tiles, smallest_tile, tiled_sum


class Tiny(torch.nn.Module):
    """Strides 1, 2 and 4 by all that shifts positions: padding, none of it, and pooling that rounds up."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.second = torch.nn.Conv2d(4, 5, 3, stride=2)
        self.pool = torch.nn.AvgPool2d(3, 2, ceil_mode=True)
        self.third = torch.nn.Conv2d(5, 6, 3, padding=1)
        self.head = torch.nn.Linear(6, 2)

    def forward(self, x):
        x = self.second(self.first(x).relu()).relu()
        return self.head(self.third(self.pool(x)).relu().mean((2, 3)))


LAYERS = ["relu", "relu_1", "relu_2"]


@pytest.fixture(scope="module")
def tiny():
    return cnnviz.Network(Tiny(), labels=("a", "b")).to(torch.float64)


def _noise(seed, height=75, width=62, channels=3):
    return torch.rand(
        1, channels, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )  # fmt: skip


@pytest.mark.parametrize("size", [(75, 62), (40, 81), (47, 47), (96, 64)])
def test_each_position_counts_once(tiny, size):
    for side in (smallest_tile(tiny, LAYERS), 37):
        tiles = plan_tiles(tiny, LAYERS, size, side)
        assert len(tiles) > 1
        for layer, (height, width) in tiles.sizes.items():
            counts = torch.zeros(height, width)
            for tile in tiles:
                counts[tile.targets[layer]] += 1
            assert (counts == 1).all()
        assert all(max(w.stop - w.start for w in tile.window) <= side for tile in tiles)


def test_features_in_tiles_are_those_of_the_whole(tiny):
    pixels = _noise(1)
    whole = tiny.features(pixels, LAYERS)
    tiles = plan_tiles(tiny, LAYERS, (75, 62), 36)
    for tile in tiles:
        shown = tiny.features(pixels[(..., *tile.window)], LAYERS)
        found = {layer: tile.crop(layer, maps) for layer, maps in shown.items()}
        for layer in LAYERS:
            assert torch.allclose(found[layer], whole[layer][(..., *tile.targets[layer])], atol=1e-13)


def test_a_border_that_does_not_count_keeps_the_networks_zeros_away(tiny):
    """A periodic image within a border of itself has the moments of one period, wherever that begins."""
    period = _noise(2, 16, 24)
    found = []
    for start in (0, 4, 8):
        shown = torch.nn.functional.pad(period.roll(start, 2), (16, 16, 16, 16), mode="circular")
        found.append(layer_moments(tiny, shown, LAYERS, border=16))
    for other in found[1:]:
        for layer in LAYERS:
            assert torch.allclose(other[layer].gram, found[0][layer].gram, atol=1e-13)


@pytest.mark.parametrize("statistic", sorted(DISTANCES))
@pytest.mark.parametrize("masked", [False, True])
def test_a_style_loss_and_its_gradient_do_not_depend_on_the_tiles(tiny, statistic, masked):
    image, content, style = _noise(3), _noise(4), _noise(5, 50, 44)
    masks = None
    if masked:
        left = _noise(6, channels=1)
        masks = [left, 1 - left]
    found = []
    for tile in (0, 44):
        regions = make_regions(2 if masked else 1, None, masks)
        target = measure_texture(tiny, [style], dict.fromkeys(LAYERS, 1.0), statistic=statistic, margin=4, tile=tile)
        shift = GridShift(4, 1, seed=1)
        shift.draw(1)
        weights = LossWeights(content=0.7, style=1.5, palette=2.0, tv=0.1)
        loss = StyleLoss(tiny, content, ["relu_1"], [(region, target) for region in regions], weights, shift, tile)
        assert (len(loss.tiles) > 1) == bool(tile)
        shift.draw(2)
        loss.set_reference()
        pixels = image.clone().requires_grad_()
        value, parts = loss(pixels)
        found.append((value.detach(), parts, torch.autograd.grad(value, pixels)[0]))
    (value, parts, gradient), (value_, parts_, gradient_) = found
    assert float(value_) == pytest.approx(float(value), rel=1e-12)
    assert all(float(parts_[name]) == pytest.approx(float(parts[name]), rel=1e-12) for name in parts)
    assert torch.allclose(gradient_, gradient, atol=1e-11 * float(gradient.abs().max()))


def test_without_a_content_weight_tiles_give_the_same_gradient(tiny):
    target = measure_texture(tiny, [_noise(7)], dict.fromkeys(LAYERS, 1.0))
    weights = LossWeights(content=0, style=1, palette=0, tv=0)
    pixels = _noise(8).requires_grad_()
    gradients = []
    for tile in (0, 40):
        loss = StyleLoss(tiny, _noise(9), ["relu_1"], [(make_regions(1)[0], target)], weights, tile=tile)
        gradients.append(torch.autograd.grad(loss(pixels)[0], pixels)[0])
    assert torch.allclose(*gradients, atol=1e-11 * float(gradients[0].abs().max()))


def test_the_embedded_network_in_tiles(squeezenet):
    """The moments of a photo by the deep layers, whose positions see farther than a tile's own pixels."""
    pixels, layers = torch.rand(1, 3, 330, 260, generator=torch.Generator().manual_seed(1)), ["relu1", "fire7"]
    whole = layer_moments(squeezenet, pixels, layers)
    parted = layer_moments(squeezenet, pixels, layers, tile=256)
    for layer in layers:
        scale = float(whole[layer].gram.abs().max())
        assert torch.allclose(parted[layer].gram, whole[layer].gram, atol=1e-5 * scale)


def test_only_one_tile_is_in_memory_at_once(tiny):
    """The backward pass computes one tile after the other, none larger than asked for."""
    seen = []

    class Watched:
        spec, truncated = tiny.spec, tiny.truncated

        def stream_features(self, pixels, layers, tell):
            seen.append((tuple(pixels.shape[2:]), torch.is_grad_enabled()))
            tiny.stream_features(pixels, layers, tell)

    pixels = _noise(10).requires_grad_()
    tiles = plan_tiles(tiny, LAYERS, (75, 62), 40)
    sums = tiled_sum(Watched(), pixels, LAYERS, tiles, lambda layer, maps, _: [maps.sum()])
    torch.autograd.grad(sum(part for parts in sums.values() for part in parts), pixels)
    assert len(seen) == 2 * len(tiles)
    assert max(max(shape) for shape, _ in seen) <= 40
    assert [keeps for _, keeps in seen] == [False] * len(tiles) + [True] * len(tiles)


def test_impossible_tiles_are_refused(tiny):
    least = smallest_tile(tiny, LAYERS)
    assert least is not None
    with pytest.raises(UsageError, match=str(least)):
        plan_tiles(tiny, LAYERS, (75, 62), least - 1)
    with pytest.raises(UsageError, match="too small"):
        plan_tiles(tiny, LAYERS, (16, 16), border=8)

    class Squeezing(Tiny):
        def forward(self, x):
            x = self.first(x)
            return self.head(self.third(self.pool(self.second(x * x.mean((2, 3), keepdim=True)))).mean((2, 3)))

    excited = cnnviz.Network(Squeezing(), labels=("a", "b")).to(torch.float64)
    assert smallest_tile(excited, ["third"]) is None
    assert len(plan_tiles(excited, ["third"], (75, 62))) == 1
    with pytest.raises(UsageError, match="whole image"):
        plan_tiles(excited, ["third"], (75, 62), 40)
