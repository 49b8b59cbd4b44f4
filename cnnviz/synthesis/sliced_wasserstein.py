"""The distance of whole distributions of features, by their projections on random lines.

Moments cannot tell an even texture from one that is flat here and overdone there: mean and covariance may be the same.
Distributions can.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

_LEAST, _VALUES = 16, 1 << 15
"""Lines for each layer: so many at least, and as many as make so many values to be sorted."""

_POSITIONS = 1 << 13
"""Of larger maps only each second, third, … row and column is sorted, another one for other lines."""


class SlicedWasserstein:
    """How far the features of a picture are from a sample's, as distributions in the space of their channels.

    Heitz, Vanhoey, Chambon & Belcour, "A Sliced Wasserstein Loss for Neural Texture Synthesis", CVPR 2021,
    arXiv:2006.07229: the features are projected on random lines and sorted, and the mean squared difference of what
    then has the same rank is taken. Opposed to the paper it is relative to the variance along the lines, so that all
    layers count alike, there are fewer lines than channels, of large maps not all positions are taken, and samples of
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
        """Choose other lines, orthogonal at each layer."""
        chance = torch.Generator().manual_seed(seed)
        self.phase = int(torch.randint(1 << 16, (), generator=chance))
        for layer, rows in self.samples.items():
            positions, channels = rows.shape
            count = min(channels, max(_LEAST, _VALUES // positions))
            projections = torch.linalg.qr(torch.randn(channels, count, generator=chance, dtype=torch.float64)).Q.to(
                rows
            )
            ranked = (rows @ projections).T.contiguous().sort(1).values
            self.projections[layer], self.wanted[layer] = projections, ranked
            self.scales[layer] = ranked.var(1, unbiased=False).mean().clamp_min(1e-12)

    def __call__(self, layer: str, features: Tensor) -> Tensor:
        """The relative distance of features (1, C, h, w), a scalar: 0 for the same distribution."""
        ranked = (_rows(self._thinned(features)) @ self.projections[layer]).T.contiguous().sort(1).values
        wanted = self.wanted[layer]
        if ranked.shape[1] != wanted.shape[1]:
            wanted = F.interpolate(wanted[None], ranked.shape[1], mode="linear", align_corners=False)[0]
        return (ranked - wanted).square().mean() / self.scales[layer]

    def _thinned(self, maps: Tensor) -> Tensor:
        """Not all positions of maps (1, C, h, w), if they are many."""
        every = math.ceil(math.sqrt(maps.shape[2] * maps.shape[3] / _POSITIONS))
        down, right = self.phase % every, self.phase // every % every
        return maps[:, :, down::every, right::every]


def _rows(maps: Tensor) -> Tensor:
    """(1, C, h, w) -> positions by channels."""
    return maps[0].permute(1, 2, 0).flatten(0, 1)
