"""Feature maps: the output of each channel of a layer for one image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.network.feature_network import LayerLike
from cnnviz.network.network import Network


@dataclass(frozen=True)
class ActivationGrid:
    """A layer's feature maps for one image.

    Attributes:
        layer: the layer's name.
        maps: (C, H, W) float, the maps.
        strengths: (C,), the mean absolute value of each map.
        order: (C,) int64, the channels from the strongest to the weakest.
        mean_strength: (H, W), the mean absolute value over the channels.
    """

    layer: str
    maps: Tensor
    strengths: Tensor
    order: Tensor
    mean_strength: Tensor

    @property
    def signed(self) -> bool:
        """Whether any value is negative, as it may be before a ReLU."""
        return bool((self.maps < 0).any())


def activation_grid(network: Network, pixels: Tensor, layer: LayerLike) -> ActivationGrid:
    """The feature maps of a layer for one image, and the strength of each.

    Args:
        network: the network.
        pixels: (1, 3, H, W), RGB in [0, 1].
        layer: a layer whose output is a map (C, H, W), by name or as a submodule of your own module.

    Raises:
        UsageError: no such layer, one without positions, or more than one image.
        ImageError: the image is too small for the network.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.activation_grid(network, pixels, "fire5").maps.shape
        torch.Size([256, 7, 11])
    """
    if len(pixels) != 1:
        raise UsageError(f"Feature maps are shown for one image at a time, not {len(pixels)}.")
    layer = network.layer_name(layer)
    network.layers.require_map(layer)
    with torch.no_grad():
        values = network.features(pixels, [layer])[layer]
    maps = values[0].cpu()
    strengths = maps.abs().mean(dim=(1, 2))
    order = strengths.argsort(descending=True, stable=True)
    return ActivationGrid(layer, maps, strengths, order, maps.abs().mean(dim=0))
