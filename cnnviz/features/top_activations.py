"""The positions and images where channels of a layer have their largest activations."""

from __future__ import annotations

import heapq
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.network.feature_network import LayerLike
from cnnviz.network.network import Network


@dataclass(frozen=True)
class ChannelMaxima:
    """The largest activation of every channel in each image, with its row and column in the map; all are (N, C)."""

    values: NDArray[np.float32]
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]

    def packed(self) -> NDArray[np.float32]:
        """One float32 vector for each image, (N, 3 C), for the feature store; float32 holds positions exactly."""
        return np.concatenate([self.values, self.rows, self.columns], axis=1).astype(np.float32)

    @staticmethod
    def unpack(packed: NDArray[np.float32]) -> ChannelMaxima:
        """The inverse of ``packed``."""
        values, rows, columns = np.split(packed, 3, axis=1)
        return ChannelMaxima(values, rows.astype(np.int32), columns.astype(np.int32))


@dataclass(frozen=True, order=True)
class Activation:
    """One activation: its value, the image's name, and the row and column in the map."""

    value: float
    image: str
    row: int
    column: int

    @property
    def picture(self) -> str:
        """The old name of ``image``."""
        warnings.warn("The attribute 'picture' is now 'image'.", DeprecationWarning, stacklevel=2)
        return self.image


def channel_maxima(network: Network, pixels: Tensor, layer: LayerLike) -> ChannelMaxima:
    """The largest activation of every channel of a layer in each image, and its position.

    Args:
        network: the network.
        pixels: (N, 3, H, W), RGB in [0, 1].
        layer: a layer whose output is a map (C, H, W), by name or as a submodule of your own module.

    Raises:
        UsageError: no such layer, or one without positions.
        ImageError: the images are too small for the network.
    """
    layer = network.layer_name(layer)
    network.layers.require_map(layer)
    with torch.no_grad():
        maps = network.features(pixels, [layer])[layer]
    values, where = maps.flatten(2).max(dim=2)
    width = maps.shape[3]
    return ChannelMaxima(
        values.cpu().numpy(), (where // width).int().cpu().numpy(), (where % width).int().cpu().numpy()
    )


class TopActivations:
    """The ``top`` largest activations of some channels over any number of images, one from each image.

    Keeps ``top`` activations a channel, and the mean and standard deviation of its maxima; memory does not grow.
    """

    def __init__(self, channels: Sequence[int], top: int) -> None:
        self.channels = tuple(channels)
        self._top = top
        self._heaps: dict[int, list[Activation]] = {channel: [] for channel in channels}
        self._count = 0
        self._sums = np.zeros((2, len(channels)))  # of the maxima, and of their squares

    def update(self, images: Sequence[str], maxima: ChannelMaxima) -> None:
        """Take in the maxima of N more images, whose names are ``images``."""
        largest = maxima.values[:, list(self.channels)].astype(np.float64)
        self._count += len(largest)
        self._sums += np.stack([largest.sum(axis=0), (largest**2).sum(axis=0)])
        for channel, heap in self._heaps.items():
            for n in np.argsort(-maxima.values[:, channel], kind="stable")[: self._top].tolist():
                found = Activation(
                    float(maxima.values[n, channel]),
                    images[n],
                    int(maxima.rows[n, channel]),
                    int(maxima.columns[n, channel]),
                )
                _keep(heap, found, self._top)

    def __getitem__(self, channel: int) -> list[Activation]:
        """A channel's largest activations, largest first."""
        return sorted(self._heaps[channel], reverse=True)

    def most_selective(self, count: int) -> list[int]:
        """The ``count`` channels whose largest maxima are most standard deviations above the mean over all images."""
        mean, square = self._sums / max(self._count, 1)
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        best = np.array([np.mean([found.value for found in self[channel]]) for channel in self.channels])
        selectivity = np.where(deviation > 0, (best - mean) / np.maximum(deviation, 1e-12), 0)
        return [self.channels[n] for n in np.argsort(-selectivity, kind="stable")[:count]]


def _keep(heap: list[Activation], found: Activation, top: int) -> None:
    if len(heap) < top:
        heapq.heappush(heap, found)
    else:
        heapq.heappushpop(heap, found)


def top_patches(
    network: Network,
    pictures: Iterable[tuple[str, Tensor]],
    layer: LayerLike,
    channels: Sequence[int],
    top: int = 9,
) -> dict[int, list[Activation]]:
    """The largest activations of channels of a layer over many images, one from each image.

    The patches in their receptive fields show what a channel detects: Girshick et al., "Rich feature hierarchies", CVPR
    2014, arXiv:1311.2524, section 3.1; Zeiler & Fergus, ECCV 2014, arXiv:1311.2901, fig. 2. The images
    are iterated once and not kept; receptive fields are in ``network.layer_table()``.

    Args:
        network: the network.
        pictures: names and pixels (1, 3, H, W) in [0, 1]; sizes may differ.
        layer: a layer whose output is a map, by name or as a submodule of your own module.
        channels: indices of its channels.
        top: the number of activations for each channel.

    Returns:
        For each channel its largest activations, largest first.

    Raises:
        UsageError: no such layer or channel.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> [found.image for found in cnnviz.top_patches(network, [("cat", pixels)], "fire5", [3])[3]]
        ['cat']
    """
    layer, strongest = network.layer_name(layer), TopActivations(channels, top)
    for name, pixels in pictures:
        maxima = channel_maxima(network, pixels, layer)
        check_channels(channels, maxima.values.shape[1], layer)
        strongest.update([name] * len(pixels), maxima)
    return {channel: strongest[channel] for channel in strongest.channels}


def check_channels(channels: Sequence[int], count: int, layer: str) -> None:
    """Raise UsageError unless the layer has all these channels."""
    for channel in channels:
        if not 0 <= channel < count:
            raise UsageError(f"Layer '{layer}' has no channel {channel}: it has channels 0 to {count - 1}.")
