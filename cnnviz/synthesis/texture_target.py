"""The target of a texture loss: the feature statistics of one or more samples, and of their colors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.network.network import Network
from cnnviz.synthesis.feature_statistics import (
    Moments,
    blend,
    distance,
    moments,
    resize_mask,
    wasserstein_distance,
)
from cnnviz.synthesis.tiled_moments import TiledMoments
from cnnviz.synthesis.tiling import plan_tiles, tiled_sum


@dataclass(frozen=True)
class TextureTarget:
    """The target moments of each layer, the layers' weights, and how distances are measured.

    ``palette`` are the moments of the pixels: the mean color and how the colors vary together.
    """

    layers: Mapping[str, Moments]
    weights: Mapping[str, float]
    palette: Moments
    statistic: str = "gram"

    def texture_distance(self, features: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum over layers of the relative distances of features (N, C, h, w), a scalar."""
        return self.distance_of({layer: moments(features[layer]) for layer in self.weights})

    def distance_of(self, found: Mapping[str, Moments]) -> Tensor:
        """The weighted sum over layers of the relative distances of given moments, a scalar."""
        measure = distance(self.statistic)
        return sum(
            (weight * measure(found[layer], self.layers[layer]) for layer, weight in self.weights.items()),
            self.palette.mean.new_zeros(()),
        )

    def palette_distance(self, pixels: Tensor, mask: Tensor | None = None) -> Tensor:
        """The Wasserstein distance of the colors of pixels (N, 3, H, W) from the target's, a scalar."""
        return wasserstein_distance(moments(pixels, resize_mask(mask, pixels.shape[2:], pixels)), self.palette)


def measure_texture(
    network: Network,
    samples: Sequence[Tensor],
    weights: Mapping[str, float],
    *,
    blend_weights: Sequence[float] | None = None,
    masks: Sequence[Tensor | None] | None = None,
    statistic: str = "gram",
    margin: int = 0,
    tile: int = 0,
) -> TextureTarget:
    """The target of samples (1, 3, h, w), their moments averaged by ``blend_weights`` (equal if None).

    Args:
        weights: the weight of each layer in the loss, by name.
        masks: for each sample None, or which part of it to use, (1, 1, h, w).
        margin: pixels of reflection padding around the samples, which keep the network's zero padding away.
        tile: the largest side the network is shown at once; 0 for whole samples.
    """
    found: list[dict[str, Moments]] = []
    colors: list[Moments] = []
    for i, sample in enumerate(samples):
        mask = masks[i] if masks else None
        padded, mask = reflection_pad(sample, margin), None if mask is None else reflection_pad(mask, margin)
        colors.append(moments(padded, mask))
        found.append(layer_moments(network, padded, list(weights), mask, tile=tile))
    fractions = list(blend_weights) if blend_weights is not None else [1.0] * len(samples)
    blended = {layer: blend([parts[layer] for parts in found], fractions) for layer in weights}
    return TextureTarget(blended, dict(weights), blend(colors, fractions), statistic)


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
    """The moments by layer of the features of pixels (1, 3, H, W), weighted by ``mask`` (1, 1, H, W).

    ``tile``: the largest side shown at once, 0 for the whole; ``border``: pixels whose positions do not count.
    """
    tiles = plan_tiles(network, layers, (pixels.shape[2], pixels.shape[3]), tile, border)
    measured = TiledMoments(tiles, layers, mask)
    return measured.combine(tiled_sum(network, pixels, layers, tiles, measured.of_tile))


def reflection_pad(pixels: Tensor, margin: int) -> Tensor:
    """Pixels padded by reflection on all sides, by ``margin`` or as far as their size allows."""
    room = min(margin, *(side - 1 for side in pixels.shape[2:]))
    return F.pad(pixels, (room, room, room, room), mode="reflect") if room else pixels
