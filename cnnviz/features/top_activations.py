"""Where in a picture each channel of a layer is strongest, and which pictures of many are strongest of all."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.network.network import Network


@dataclass(frozen=True)
class ChannelMaxima:
    """The strongest position of every channel in each picture, all (N, C): its activation, row and column."""

    values: NDArray[np.float32]
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]

    def packed(self) -> NDArray[np.float32]:
        """(N, 3 C) for the feature store; positions are small integers, which float32 holds exactly."""
        return np.concatenate([self.values, self.rows, self.columns], axis=1).astype(np.float32)

    @staticmethod
    def unpack(packed: NDArray[np.float32]) -> ChannelMaxima:
        """The inverse of ``packed``."""
        values, rows, columns = np.split(packed, 3, axis=1)
        return ChannelMaxima(values, rows.astype(np.int32), columns.astype(np.int32))


@dataclass(frozen=True, order=True)
class Activation:
    """One strong position: the activation there, where (row and column in the map), and in which picture."""

    value: float
    picture: str
    row: int
    column: int


def channel_maxima(network: Network, pixels: Tensor, layer: str) -> ChannelMaxima:
    """The strongest position of every channel of a layer.

    Args:
        network: the network to look into.
        pixels: (N, 3, H, W), RGB in [0, 1].
        layer: a layer whose output is a map (C, H, W).

    Raises:
        UsageError: no such layer, or one without positions.
        ImageError: the pictures are too small for the network.
    """
    network.layers.require_map(layer)
    with torch.no_grad():
        maps = network.features(pixels, [layer])[layer]
    values, where = maps.flatten(2).max(dim=2)
    width = maps.shape[3]
    return ChannelMaxima(
        values.cpu().numpy(), (where // width).int().cpu().numpy(), (where % width).int().cpu().numpy()
    )


class TopActivations:
    """The ``top`` strongest positions of some channels over any number of pictures, one from each picture.

    Holds ``top`` positions a channel, and the mean and deviation of its peaks, however many pictures go by.
    """

    def __init__(self, channels: Sequence[int], top: int) -> None:
        self.channels = tuple(channels)
        self._top = top
        self._heaps: dict[int, list[Activation]] = {channel: [] for channel in channels}
        self._count = 0
        self._sums = np.zeros((2, len(channels)))  # of the peaks, and of their squares

    def offer(self, pictures: Sequence[str], peaks: ChannelMaxima) -> None:
        """Take in the peaks of more pictures, named by ``pictures`` (N)."""
        peaked = peaks.values[:, list(self.channels)].astype(np.float64)
        self._count += len(peaked)
        self._sums += np.stack([peaked.sum(axis=0), (peaked**2).sum(axis=0)])
        for channel, heap in self._heaps.items():
            for n in np.argsort(-peaks.values[:, channel], kind="stable")[: self._top].tolist():
                found = Activation(
                    float(peaks.values[n, channel]),
                    pictures[n],
                    int(peaks.rows[n, channel]),
                    int(peaks.columns[n, channel]),
                )
                _keep(heap, found, self._top)

    def __getitem__(self, channel: int) -> list[Activation]:
        """A channel's strongest positions, strongest first."""
        return sorted(self._heaps[channel], reverse=True)

    def most_selective(self, count: int) -> list[int]:
        """The channels whose strongest peaks stand highest above those of all pictures, in standard deviations."""
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
    layer: str,
    channels: Sequence[int],
    top: int = 9,
) -> dict[int, list[Activation]]:
    """The positions of many pictures that excite channels of a layer most, one from each picture.

    The patches such positions see are what a channel looks for: Girshick et al., "Rich feature hierarchies", CVPR
    2014, arXiv:1311.2524, section 3.1; Zeiler & Fergus, ECCV 2014, arXiv:1311.2901, fig. 2. The pictures are gone
    through once and let go; ``network.layer_table()`` tells each position's receptive field.

    Args:
        network: the network to look into.
        pictures: names and pixels (1, 3, H, W) in [0, 1]; sizes may differ.
        layer: a layer whose output is a map.
        channels: indices of its channels.
        top: how many positions to keep for each channel.

    Returns:
        For each channel its strongest positions, strongest first.

    Raises:
        UsageError: no such layer or channel.
    """
    strongest = TopActivations(channels, top)
    for name, pixels in pictures:
        peaks = channel_maxima(network, pixels, layer)
        check_channels(channels, peaks.values.shape[1], layer)
        strongest.offer([name] * len(pixels), peaks)
    return {channel: strongest[channel] for channel in strongest.channels}


def check_channels(channels: Sequence[int], count: int, layer: str) -> None:
    """UsageError unless the layer has all these channels."""
    for channel in channels:
        if not 0 <= channel < count:
            raise UsageError(f"Layer '{layer}' has no channel {channel}: it has channels 0 to {count - 1}.")
