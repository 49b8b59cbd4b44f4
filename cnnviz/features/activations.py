"""Feature maps: what each channel of a layer answers to one picture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.network.network import Network


@dataclass(frozen=True)
class ActivationGrid:
    """A layer's maps for one picture.

    ``maps`` (C, H, W); ``strengths`` (C), the mean magnitude of each; ``order`` (C), channels from the strongest to
    the weakest; ``mean_strength`` (H, W), the mean magnitude over the channels.
    """

    layer: str
    maps: Tensor
    strengths: Tensor
    order: Tensor
    mean_strength: Tensor

    @property
    def signed(self) -> bool:
        """Whether any value is negative, as before a ReLU."""
        return bool((self.maps < 0).any())


def activation_grid(network: Network, pixels: Tensor, layer: str) -> ActivationGrid:
    """The feature maps of a layer for one picture, and how strong each is.

    Args:
        network: the network to look into.
        pixels: (1, 3, H, W), RGB in [0, 1].
        layer: a layer whose output is a map (C, H, W).

    Raises:
        UsageError: no such layer, one without positions, or more than one picture.
        ImageError: the picture is too small for the network.
    """
    if len(pixels) != 1:
        raise UsageError(f"Feature maps are shown for one picture at a time, not {len(pixels)}.")
    network.layers.require_map(layer)
    with torch.no_grad():
        values = network.features(pixels, [layer])[layer]
    maps = values[0].cpu()
    strengths = maps.abs().mean(dim=(1, 2))
    order = strengths.argsort(descending=True, stable=True)
    return ActivationGrid(layer, maps, strengths, order, maps.abs().mean(dim=0))
