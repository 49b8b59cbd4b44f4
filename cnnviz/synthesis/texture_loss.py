"""The loss of a texture synthesis: distances of moments, distributions and colors from the sample's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.network.network import Network
from cnnviz.runtime.precision import at_least_float32
from cnnviz.synthesis.feature_statistics import moments
from cnnviz.synthesis.grid_shift import GridShift
from cnnviz.synthesis.multiscale import Size
from cnnviz.synthesis.sliced_wasserstein import SlicedWasserstein
from cnnviz.synthesis.texture_target import TextureTarget, reflection_pad
from cnnviz.synthesis.tiled_moments import TiledMoments
from cnnviz.synthesis.tiling import Tile, plan_tiles, smallest_tile, tiled_sum

STRIDE = 16
"""Stride, in pixels, of the deepest layers in use."""

_SCALE = 1e3
"""Distances are relative, about 1, and L-BFGS stops at gradients below 1e-7."""

BORDER, FRAME = 2 * STRIDE, 4 * STRIDE
"""Pixels around image and sample that the network sees and that do not count: they keep its zero padding away, which
would be a good part of a small sample's deep features, and another part of the larger image's. Where the image is
shifted at random, the narrower one is enough; where it is fixed, the rest of the zeros would be exploited."""


class TextureLoss:
    """Distance of pixels from a texture, as an objective of ``ImageOptimizer``.

    Args:
        network: the network whose features are compared.
        target: the sample's statistics.
        size: height and width of the image.
        palette_weight: weight of the distance of the colors.
        shift: position in the stride grid.
        distributions: the sample's feature distributions, or None where only the moments count.
        distribution_weight: weight of their distance.
        tile: the largest side the network is shown at once; 0 for the whole.
        border: pixels around the image that do not count.
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
        height, width = self._shifted(torch.zeros(1, 1, *size)).shape[2:]
        self.tiles = plan_tiles(network, self.layers, (height, width), tile, self.border)
        self.measured = TiledMoments(self.tiles, self.layers)

    def before_step(self, step: int) -> None:
        """Draw the shift of ``step``, and new projections with it; a hook of ``ImageOptimizer``."""
        is_new = self.shift.draw(step)
        if self.distributions is not None and (is_new or not self.distributions.projections):
            self.distributions.draw(self.shift.offset[0])

    def __call__(self, pixels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of pixels (1, 3, H, W), a scalar, and its terms before their weights."""
        sums = tiled_sum(self.network, self._shifted(pixels), self.layers, self.tiles, self._of_tile)
        distribution = sum((parts[0] for parts in sums.values()), pixels.new_zeros(()))
        texture = self.target.distance_of(self.measured.combine(sums, 1))
        palette = self.target.palette_distance(pixels)
        loss = _SCALE * (texture + self.distribution_weight * distribution + self.palette_weight * palette)
        weight = sum(self.target.weights.values())
        terms = {"texture": texture / weight, "distribution": distribution / weight, "palette": palette}
        return loss, {
            name: term.detach() for name, term in terms.items() if self.distributions or name != "distribution"
        }

    def _of_tile(self, layer: str, maps: Tensor, tile: Tile) -> list[Tensor]:
        """One tile's part of a layer's distance of distributions and of its moments, to be summed over tiles."""
        distance = self.target.palette.mean.new_zeros(())
        fraction = self.measured.fractions[layer][tile.number]
        if self.distributions is not None and fraction:
            distance = self.target.weights[layer] * fraction * self.distributions(layer, at_least_float32(maps))
        return [distance, *self.measured.of_tile(layer, maps, tile)]

    def _shifted(self, pixels: Tensor) -> Tensor:
        """The image at its shift, padded circularly or by reflection."""
        if not self.border:
            return self.shift(pixels)
        if not self.shift.circular:
            return reflection_pad(self.shift(pixels), self.border)
        moved = pixels.roll(self.shift.offset, (2, 3))
        return F.pad(moved, (self.border,) * 4, mode="circular")


def border_for(network: Network, layers: Sequence[str], size: Size, wanted: int) -> int:
    """The widest border around images of ``size``, in whole strides, that need not count; 0 where there is none."""
    border = min(wanted, *size) // STRIDE * STRIDE
    if border and smallest_tile(network, layers) is None:
        return 0  # positions see the whole image, its border included
    return border


@torch.no_grad()
def texture_of(
    network: Network, sample: Tensor, weights: Mapping[str, float], statistic: str
) -> tuple[TextureTarget, SlicedWasserstein]:
    """The target of a sample (1, 3, h, w): moments by layer and of the colors, and the distributions of features."""
    layers = list(weights)
    size = (int(sample.shape[2]), int(sample.shape[3]))
    border = border_for(network, layers, (size[0] - 1, size[1] - 1), FRAME)
    padded = reflection_pad(sample, border or STRIDE // 2)
    tiles = plan_tiles(network, layers, (int(padded.shape[2]), int(padded.shape[3])), border=border)
    (tile,) = tiles
    features = {layer: tile.crop(layer, maps) for layer, maps in network.features(padded, layers).items()}
    found = {layer: moments(maps) for layer, maps in features.items()}
    return TextureTarget(found, dict(weights), moments(sample), statistic), SlicedWasserstein(features)
