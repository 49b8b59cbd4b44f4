"""What is wanted of a texture: the moments of a sample, or of several, at some layers and of the pixels themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.network import Network
from cnnviz.synthesis.moments import Moments, blend, distance, moments, wasserstein_distance


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
        measure = distance(self.statistic)
        return sum(
            (
                weight * measure(moments(features[layer], at(mask, features[layer])), self.layers[layer])
                for layer, weight in self.weights.items()
            ),
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
) -> TextureTarget:
    """The target that samples (1, 3, h, w) set, blended by ``shares``.

    Args:
        weights: what each layer counts for, by its name.
        masks: for each sample None, or which part of it is meant, (1, 1, h, w).
        margin: pixels of reflected border around the samples, which keep the zeros away that networks pad with.
    """
    layers: dict[str, list[Moments]] = {layer: [] for layer in weights}
    colors: list[Moments] = []
    with torch.no_grad():
        for i, sample in enumerate(samples):
            mask = masks[i] if masks else None
            seen, mask = _framed(sample, margin), None if mask is None else _framed(mask, margin)
            colors.append(moments(seen, mask))
            for layer, features in network.features(seen, list(layers)).items():
                layers[layer].append(moments(features, at(mask, features)))
    shares = list(shares) if shares is not None else [1.0] * len(samples)
    blended = {layer: blend(parts, shares) for layer, parts in layers.items()}
    return TextureTarget(blended, dict(weights), blend(colors, shares), statistic)


def at(mask: Tensor | None, features: Tensor) -> Tensor | None:
    """A mask at the size of features, each of its values the mean of what it covers; None stays None."""
    if mask is None or mask.shape[2:] == features.shape[2:]:
        return mask
    return F.interpolate(mask.to(features), tuple(features.shape[2:]), mode="area")


def _framed(pixels: Tensor, margin: int) -> Tensor:
    room = min(margin, *(side - 1 for side in pixels.shape[2:]))
    return F.pad(pixels, (room, room, room, room), mode="reflect") if room else pixels
