"""Sliced Wasserstein distance between distributions of features, by their projections on random directions.

Moments cannot tell an even texture from one that is flat here and exaggerated there: mean and covariance may be the
same. Distributions can.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

_LEAST, _VALUES = 16, 1 << 15
"""Directions for each layer: at least 16, and as many as give 32768 values to be sorted."""

_POSITIONS = 1 << 13
"""Of larger maps only each second, third, … row and column is sorted, another one for other directions."""


class SlicedWasserstein:
    """Distance of an image's features from a sample's, as distributions in the space of their channels.

    Heitz, Vanhoey, Chambon & Belcour, "A Sliced Wasserstein Loss for Neural Texture Synthesis", CVPR 2021,
    arXiv:2006.07229: the features are projected on random directions and sorted, and the mean squared difference of
    values of the same rank is taken. Unlike the paper it is relative to the variance along the directions, so that
    layers have equal weights, there are fewer directions than channels, large maps are subsampled, and samples of
    another size are interpolated, not repeated.

    Args:
        features: the sample's (1, C, h, w), by layer.
    """

    def __init__(self, features: Mapping[str, Tensor]) -> None:
        self.samples = {layer: _rows(maps.detach()) for layer, maps in features.items()}
        self.projections: dict[str, Tensor] = {}
        self.wanted: dict[str, Tensor] = {}
        self.scales: dict[str, Tensor] = {}
        self.phase = 0

    def draw(self, seed: int) -> None:
        """Draw new directions, orthogonal at each layer."""
        generator = torch.Generator().manual_seed(seed)
        self.phase = int(torch.randint(1 << 16, (), generator=generator))
        for layer, rows in self.samples.items():
            positions, channels = rows.shape
            count = min(channels, max(_LEAST, _VALUES // positions))
            projections = torch.linalg.qr(torch.randn(channels, count, generator=generator, dtype=torch.float64)).Q.to(
                rows
            )
            ranked = (rows @ projections).T.contiguous().sort(1).values
            self.projections[layer], self.wanted[layer] = projections, ranked
            self.scales[layer] = ranked.var(1, unbiased=False).mean().clamp_min(1e-12)

    def __call__(self, layer: str, features: Tensor) -> Tensor:
        """The relative distance of a layer's features (1, C, h, w), a scalar: 0 for the same distribution."""
        ranked = (_rows(self._subsampled(features)) @ self.projections[layer]).T.contiguous().sort(1).values
        wanted = self.wanted[layer]
        if ranked.shape[1] != wanted.shape[1]:
            wanted = F.interpolate(wanted[None], ranked.shape[1], mode="linear", align_corners=False)[0]
        return (ranked - wanted).square().mean() / self.scales[layer]

    def _subsampled(self, maps: Tensor) -> Tensor:
        """Maps (1, C, h, w) without some rows and columns, if they are large."""
        every = math.ceil(math.sqrt(maps.shape[2] * maps.shape[3] / _POSITIONS))
        down, right = self.phase % every, self.phase // every % every
        return maps[:, :, down::every, right::every]


def _rows(maps: Tensor) -> Tensor:
    """(1, C, h, w) -> positions by channels."""
    return maps[0].permute(1, 2, 0).flatten(0, 1)
