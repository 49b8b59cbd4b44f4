"""Maps that are read and written in bands of rows: each stays in the cache from one operation to the next.

A map of a large image takes tens of MiB. Operation by operation over the whole of it, each would wait for memory, and
for the system, which hands out large blocks page by page. So a map is kept as its convolution left it, and what follows
(normalization, ReLU, a skip connection) is done with the rows that the next convolution is about to read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

_BAND = 1 << 20
"""Bytes of the input and output of a band, of which some are in the cache at a time."""

_LEAST_ROWS = 8


def suits_bands(pixels: Tensor) -> bool:
    """Whether a pass over ``pixels`` is taken in bands: on a CPU, without gradients."""
    return not (torch.is_grad_enabled() or torch.is_autocast_enabled("cpu")) and pixels.device.type == "cpu"


@dataclass
class BandedMap:
    """A map (N, C, H, W), finished row by row as it is read.

    Attributes:
        raw: what the convolution computed.
        scale, shift: (N, C, 1, 1), by which it is normalized; None for a map that is not.
        is_rectified: whether a ReLU follows.
        added: the map that is added then, if there is one.
    """

    raw: Tensor
    scale: Tensor | None = None
    shift: Tensor | None = None
    is_rectified: bool = False
    added: BandedMap | None = None

    def relu_(self) -> BandedMap:
        """The map, rectified."""
        self.is_rectified = True
        return self

    def add_(self, other: BandedMap) -> BandedMap:
        """The map with another added."""
        if other.added is not None:  # a sum is finished at once, or each row would be summed ever more often
            other.finish()
        self.added = other
        return self

    def rows(self, top: int, bottom: int) -> Tensor:
        """Some rows of the map, a new tensor."""
        part = self.raw[:, :, top:bottom]
        if self.scale is None or self.shift is None:
            found = part.clone(memory_format=torch.channels_last)
        else:
            found = torch.addcmul(self.shift, part, self.scale)
        if self.is_rectified:
            found.relu_()
        return found if self.added is None else found.add_(self.added.rows(top, bottom))

    def padded_rows(self, top: int, bottom: int, border: int, mode: str) -> Tensor:
        """Rows from ``top`` to ``bottom``, which may lie outside by up to ``border``, with as much on either side."""
        above, below = max(0, -top), max(0, bottom - self.raw.shape[2])
        inner = self.rows(top + above, bottom - below)
        return F.pad(inner, (border, border, above, below), mode=mode)

    def finish(self) -> None:
        """Write what the map is in the place of what the convolution computed."""
        for top, bottom in bands(self.raw.shape[2], self.raw[:, :, :1].nbytes):
            self.raw[:, :, top:bottom] = self.rows(top, bottom)
        self.scale = self.shift = self.added = None
        self.is_rectified = False

    def whole(self) -> Tensor:
        """The map, finished."""
        self.finish()
        return self.raw


@dataclass
class BandStatistics:
    """Means and deviations of a map, from those of its bands."""

    counts: list[int] = field(default_factory=list)
    means: list[Tensor] = field(default_factory=list)
    squares: list[Tensor] = field(default_factory=list)
    """Sums of squared differences from the band's own mean."""

    def take(self, band: Tensor) -> None:
        """Take a band (N, C, h, W) of the map into account."""
        mean = band.mean((2, 3), keepdim=True)
        self.counts.append(band.shape[2] * band.shape[3])
        self.means.append(mean[:, :, 0, 0])
        self.squares.append((band - mean).square_().sum((2, 3)))

    def result(self, epsilon: float) -> tuple[Tensor, Tensor]:
        """The mean and the inverse deviation (N, C) of the whole map (Chan, Golub & LeVeque 1979)."""
        means, squares = torch.stack(self.means), torch.stack(self.squares)
        counts = torch.tensor(self.counts, dtype=means.dtype)[:, None, None]
        mean = (means * counts).sum(0) / counts.sum()
        variance = (squares + counts * (means - mean).square()).sum(0) / counts.sum()
        return mean, (variance + epsilon).rsqrt()


def bands(height: int, row_bytes: int) -> Iterator[tuple[int, int]]:
    """The bands of ``height`` rows, an even number of them in each but the last: (top, bottom)."""
    step = max(_LEAST_ROWS, _BAND // row_bytes // 2 * 2)
    return ((top, min(top + step, height)) for top in range(0, height, step))


def convolved_in_bands(
    source: BandedMap,
    size: tuple[int, int, int],
    window: Callable[[int, int], tuple[int, int, int, str]],
    write: Callable[[Tensor, Tensor], None],
    statistics: BandStatistics | None,
) -> Tensor:
    """A map (N, *size) that ``write`` computes band by band.

    Args:
        source: what is convolved.
        size: channels, height and width of the result.
        window: from the first and last row of a band to those of ``source`` that it needs, their border and its mode.
        write: computes a band of the result from its window, into the band.
        statistics: takes each band into account.
    """
    channels, height, width = size
    found = source.raw.new_empty(len(source.raw), height, width, channels).permute(0, 3, 1, 2)
    row_bytes = max(found[:, :, :1].nbytes, source.raw.nbytes // height)
    for top, bottom in bands(height, row_bytes):
        band = found[:, :, top:bottom]
        write(source.padded_rows(*window(top, bottom)), band)
        if statistics is not None:
            statistics.take(band)
    return found
