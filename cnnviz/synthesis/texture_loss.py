"""How far a picture is from a texture: moments and distributions of features, and colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.network.network import Network, at_least_float32
from cnnviz.synthesis.feature_statistics import moments
from cnnviz.synthesis.multiscale import GridShift, Size
from cnnviz.synthesis.sliced_wasserstein import SlicedWasserstein
from cnnviz.synthesis.texture_target import TextureTarget, framed
from cnnviz.synthesis.tiled_moments import TiledMoments
from cnnviz.synthesis.tiling import Tile, plan_tiles, smallest_tile, tiled_sum

STRIDE = 16
"""Pixels, of the deepest layers in use."""

_SCALE = 1e3
"""Distances are relative, about 1, and L-BFGS stops at gradients below 1e-7."""

BORDER, FRAME = 2 * STRIDE, 4 * STRIDE
"""Pixels around picture and sample that the network sees and that do not count: they keep the zeros away that it pads
with, which would be a good part of a small sample's deep features, and another part of the larger picture's. Where
the picture is moved about, the narrower one will do; where it lies still, what is left of the zeros would be used."""


class TextureLoss:
    """How far pixels are from a texture; gradients reach nothing but the pixels.

    Args:
        size: height and width of the picture.
        shift: where it lies; its border and what else does not count is up to this loss.
        distributions: what the features are distributed like, or None where only their moments count.
        tile: the largest side the network is shown at once; 0 for the whole.
        border: pixels around the picture that do not count.
    """

    def __init__(
        self,
        network: Network,
        target: TextureTarget,
        size: Size,
        palette_weight: float,
        shift: GridShift,
        distributions: SlicedWasserstein | None = None,
        distribution_weight: float = 0.0,
        tile: int = 0,
        border: int = BORDER,
    ) -> None:
        self.network, self.target, self.shift = network, target, shift
        self.distributions, self.distribution_weight = distributions, distribution_weight
        self.palette_weight = palette_weight
        self.layers = list(target.weights)
        self.border = border_for(network, self.layers, size, border)
        height, width = self._view(torch.zeros(1, 1, *size)).shape[2:]
        self.tiles = plan_tiles(network, self.layers, (height, width), tile, self.border)
        self.measured = TiledMoments(self.tiles, self.layers)

    def before_step(self, step: int) -> None:
        """Move on to the position of ``step``, and to other projections; a hook of ``ImageOptimizer``."""
        fresh = self.shift.draw(step)
        if self.distributions is not None and (fresh or not self.distributions.projections):
            self.distributions.draw(self.shift.offset[0])

    def __call__(self, pixels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of pixels (1, 3, H, W), and its parts before their weights."""
        sums = tiled_sum(self.network, self._view(pixels), self.layers, self.tiles, self._of_tile)
        distribution = sum((parts[0] for parts in sums.values()), pixels.new_zeros(()))
        texture = self.target.distance_of(self.measured.whole(sums, 1))
        palette = self.target.palette_distance(pixels)
        loss = _SCALE * (texture + self.distribution_weight * distribution + self.palette_weight * palette)
        weight = sum(self.target.weights.values())
        parts = {"texture": texture / weight, "distribution": distribution / weight, "palette": palette}
        return loss, {
            name: part.detach() for name, part in parts.items() if self.distributions or name != "distribution"
        }

    def _of_tile(self, layer: str, maps: Tensor, tile: Tile) -> list[Tensor]:
        """What a piece adds to the distance of a layer's distributions, and to its moments."""
        distance = self.target.palette.mean.new_zeros(())
        share = self.measured.shares[layer][tile.number]
        if self.distributions is not None and share:
            distance = self.target.weights[layer] * share * self.distributions(layer, at_least_float32(maps))
        return [distance, *self.measured.of_tile(layer, maps, tile)]

    def _view(self, pixels: Tensor) -> Tensor:
        """The picture where it lies, within its border of what is on the other side, or of its reflection."""
        if not self.border:
            return self.shift(pixels)
        if not self.shift.circular:
            return framed(self.shift(pixels), self.border)
        moved = pixels.roll(self.shift.offset, (2, 3))
        return F.pad(moved, (self.border,) * 4, mode="circular")


def border_for(network: Network, layers: Sequence[str], size: Size, wanted: int) -> int:
    """The widest border around pictures of ``size``, in whole strides, that need not count; 0 where there is none."""
    border = min(wanted, *size) // STRIDE * STRIDE
    if border and smallest_tile(network, layers) is None:
        return 0  # positions see the whole picture, its border included
    return border


@torch.no_grad()
def texture_of(
    network: Network, sample: Tensor, weights: Mapping[str, float], statistic: str
) -> tuple[TextureTarget, SlicedWasserstein]:
    """What a sample (1, 3, h, w) sets: moments by layer and of the colours, and the distributions of features."""
    layers = list(weights)
    size = (int(sample.shape[2]), int(sample.shape[3]))
    border = border_for(network, layers, (size[0] - 1, size[1] - 1), FRAME)
    seen = framed(sample, border or STRIDE // 2)
    tiles = plan_tiles(network, layers, (int(seen.shape[2]), int(seen.shape[3])), border=border)
    (tile,) = tiles
    features = {layer: tile.crop(layer, maps) for layer, maps in network.features(seen, layers).items()}
    found = {layer: moments(maps) for layer, maps in features.items()}
    return TextureTarget(found, dict(weights), moments(sample), statistic), SlicedWasserstein(features)
