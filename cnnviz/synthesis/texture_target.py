"""What is wanted of a texture: the moments of a sample, or of several, at some layers and of the pixels themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.network.network import Network
from cnnviz.synthesis.feature_statistics import Moments, blend, distance, moments, wasserstein_distance
from cnnviz.synthesis.tiled_moments import TiledMoments
from cnnviz.synthesis.tiling import plan_tiles, tiled_sum


@dataclass(frozen=True)
class TextureTarget:
    """The moments wanted at each layer, what each layer counts for, and how distances are measured.

    ``palette`` are the moments of the pixels: the colours, and how they vary together.
    """

    layers: Mapping[str, Moments]
    weights: Mapping[str, float]
    palette: Moments
    statistic: str = "gram"

    def texture_distance(self, features: Mapping[str, Tensor], mask: Tensor | None = None) -> Tensor:
        """How far features (N, C, h, w) by layer are from the target: the weighted sum of the relative distances.

        ``mask`` (N or 1, 1, H, W), of any size, says where to look.
        """
        found = {layer: moments(features[layer], at(mask, features[layer])) for layer in self.weights}
        return self.distance_of(found)

    def distance_of(self, found: Mapping[str, Moments]) -> Tensor:
        """How far the moments found at each layer are from the target: the weighted sum of the relative distances."""
        measure = distance(self.statistic)
        return sum(
            (weight * measure(found[layer], self.layers[layer]) for layer, weight in self.weights.items()),
            self.palette.mean.new_zeros(()),
        )

    def palette_distance(self, pixels: Tensor, mask: Tensor | None = None) -> Tensor:
        """The Wasserstein distance of the colours of pixels (N, 3, H, W) from the target's."""
        return wasserstein_distance(moments(pixels, at(mask, pixels)), self.palette)


def measure_texture(
    network: Network,
    samples: Sequence[Tensor],
    weights: Mapping[str, float],
    *,
    shares: Sequence[float] | None = None,
    masks: Sequence[Tensor | None] | None = None,
    statistic: str = "gram",
    margin: int = 0,
    tile: int = 0,
) -> TextureTarget:
    """The target that samples (1, 3, h, w) set, blended by ``shares``.

    Args:
        weights: what each layer counts for, by its name.
        masks: for each sample None, or which part of it is meant, (1, 1, h, w).
        margin: pixels of reflected border around the samples, which keep the zeros away that networks pad with.
        tile: the largest side the network is shown at once; 0 for whole samples.
    """
    found: list[dict[str, Moments]] = []
    colors: list[Moments] = []
    for i, sample in enumerate(samples):
        mask = masks[i] if masks else None
        seen, mask = framed(sample, margin), None if mask is None else framed(mask, margin)
        colors.append(moments(seen, mask))
        found.append(layer_moments(network, seen, list(weights), mask, tile=tile))
    shares = list(shares) if shares is not None else [1.0] * len(samples)
    blended = {layer: blend([parts[layer] for parts in found], shares) for layer in weights}
    return TextureTarget(blended, dict(weights), blend(colors, shares), statistic)


@torch.no_grad()
def layer_moments(
    network: Network,
    pixels: Tensor,
    layers: Sequence[str],
    mask: Tensor | None = None,
    *,
    tile: int = 0,
    border: int = 0,
) -> dict[str, Moments]:
    """The moments of the features of pixels (1, 3, H, W), weighed by ``mask`` (1, 1, H, W), by layer.

    ``tile``: the largest side shown at once, 0 for the whole; ``border``: pixels whose positions do not count.
    """
    tiles = plan_tiles(network, layers, (pixels.shape[2], pixels.shape[3]), tile, border)
    measured = TiledMoments(tiles, layers, mask)
    return measured.whole(tiled_sum(network, pixels, layers, tiles, measured.of_tile))


def at(mask: Tensor | None, features: Tensor) -> Tensor | None:
    """A mask at the size of features, each of its values the mean of what it covers; None stays None."""
    if mask is None or mask.shape[2:] == features.shape[2:]:
        return mask
    return F.interpolate(mask.to(features), tuple(features.shape[2:]), mode="area")


def framed(pixels: Tensor, margin: int) -> Tensor:
    """Pixels within a border of their reflection, ``margin`` wide or as wide as they allow."""
    room = min(margin, *(side - 1 for side in pixels.shape[2:]))
    return F.pad(pixels, (room, room, room, room), mode="reflect") if room else pixels
