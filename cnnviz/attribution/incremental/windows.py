"""Window arithmetic: which cells of each feature map change with an occluded patch.

Local layers treat rows and columns the same and separately, so a window is two spans, and the arithmetic is done for
each axis by itself. A span is a half-open interval ``[first, last)`` of cells; the spans of K patch offsets are one
int64 tensor (K, 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from cnnviz.network.geometry import ConvWindow, ConvWindows

Position = tuple[int, int]
"""First row and first column of a patch, in pixels."""

Span = tuple[int, int]
"""The first cell along an axis, and the one after the last."""


SIZE_BUCKETS = 7
"""Number of sizes that a node's windows can have along an axis. At 224 pixels the last maps have 7 and 14 cells, which
this many sizes round up by at most one cell."""

IDENTITY = ConvWindow()
"""The window of an elementwise operation."""


def inside(spans: Tensor, length: int) -> Tensor:
    """Spans (K, 2) clipped to a map of ``length`` cells, each of at least one cell.

    A patch that no output cell reads keeps one cell, which is recomputed to the same value.
    """
    first = spans[:, 0].clamp(0, length - 1)
    last = torch.maximum(spans[:, 1].clamp(max=length), first + 1)
    return torch.stack([first, last], dim=1)


def reached(window: ConvWindow, spans: Tensor, length: int) -> Tensor:
    """Spans (K, 2) of the output cells, of ``length`` in all, that read the input ``spans`` (K, 2)."""
    first, last = window.readers(spans[:, 0], spans[:, 1])
    return inside(torch.stack([first, last], dim=1), length)


def union(spans: Sequence[Tensor]) -> Tensor:
    """The smallest spans (K, 2) that contain all of ``spans``."""
    stack = torch.stack(list(spans))
    return torch.stack([stack[..., 0].amin(0), stack[..., 1].amax(0)], dim=1)


@dataclass(frozen=True)
class Window:
    """Rectangles of one shape in a feature map, one for each position of a batch.

    ``rows`` and ``cols`` (B,) are their first row and column, on the CPU; they may lie outside the map.
    """

    rows: Tensor
    cols: Tensor
    height: int
    width: int

    def read_by(self, conv_windows: ConvWindows) -> Window:
        """The window of the input that this window is computed from, halo and padding included."""
        rows, height = conv_windows[0].read(self.rows, self.height)
        cols, width = conv_windows[1].read(self.cols, self.width)
        return Window(rows, cols, height, width)

    def cells(self) -> tuple[Tensor, Tensor]:
        """The indices of its rows (B, height) and columns (B, width)."""
        return self.rows[:, None] + torch.arange(self.height), self.cols[:, None] + torch.arange(self.width)

    def within(self, height: int, width: int) -> bool:
        """Whether all rectangles lie within a map of this size."""
        return all(
            int(first.min()) >= 0 and int(first.max()) + size <= length
            for first, size, length in ((self.rows, self.height, height), (self.cols, self.width, width))
        )

    def aligned(self) -> bool:
        """Whether all rectangles are at the same place."""
        return all(bool((first == first[0]).all()) for first in (self.rows, self.cols))

    def same(self, other: Window) -> bool:
        """Whether both windows cover the same cells."""
        return (
            (self.height, self.width) == (other.height, other.width)
            and torch.equal(self.rows, other.rows)
            and torch.equal(self.cols, other.cols)
        )


def whole_window(batch: int, height: int, width: int) -> Window:
    """The window that covers the whole map, for each position of a batch."""
    start = torch.zeros(batch, dtype=torch.long)
    return Window(start, start, height, width)


class AxisWindows:
    """The spans of every windowed node along one axis, for all offsets that a patch has there."""

    def __init__(self, offsets: Sequence[int], extent: int, length: int) -> None:
        self.offsets = {offset: index for index, offset in enumerate(sorted(set(offsets)))}
        first = torch.tensor(list(self.offsets))
        self.patch = inside(torch.stack([first, first + extent], dim=1), length)
        self.spans: dict[fx.Node, Tensor] = {}
        self.lengths: dict[fx.Node, int] = {}
        self.readers: dict[fx.Node, tuple[fx.Node, ConvWindow]] = {}

    def add(self, node: fx.Node, spans: Tensor, length: int) -> None:
        """Register the spans (K, 2) of ``node``, whose map has ``length`` cells along this axis."""
        self.spans[node] = spans
        self.lengths[node] = length

    def fit_to_reader(self, node: fx.Node, reader: fx.Node, window: ConvWindow) -> None:
        """Set the spans of ``node`` to those that ``reader`` reads, whatever its window will be."""
        first, last = self.spans[reader].unbind(1)
        self.spans[node] = torch.stack([first * window.stride, (last - 1) * window.stride + window.reach + 1], dim=1)
        self.readers[node] = reader, window

    def ranks(self) -> dict[int, int]:
        """Offset -> its rank by the sizes of its windows: neighbors in rank have similar windows.

        Sizes differ near the border, where windows are clipped, and with the offset modulo the strides. The largest
        come first, so that the smaller ones reuse their memory.
        """
        sizes = self._bucketed(torch.stack([spans[:, 1] - spans[:, 0] for spans in self.spans.values()])).T.tolist()
        by_size = {offset: (sum(sizes[index]), sizes[index]) for offset, index in self.offsets.items()}
        ordered = sorted(by_size, key=by_size.__getitem__, reverse=True)
        return {offset: rank for rank, offset in enumerate(ordered)}

    def part(self, offset: int, parts: int) -> int:
        """The index of the part that an offset is in, if the offsets are divided into ``parts`` in order."""
        return self.offsets[offset] * parts // len(self.offsets)

    def largest(self, node: fx.Node, part: int, parts: int) -> int:
        """The size of the node's largest window in a part of the offsets."""
        if node in self.readers:
            reader, window = self.readers[node]
            return window.num_read(self.largest(reader, part, parts))
        sizes = (self.spans[node][:, 1] - self.spans[node][:, 0]).amax()
        here = self._spans_in(node, part, parts)
        return int(_bucketed((here[:, 1] - here[:, 0]).amax(), sizes))

    def cells_read(self, node: fx.Node, window: ConvWindow, part: int, parts: int, length: int) -> Span:
        """The span of a map of ``length`` cells that the node's windows read, for a part of the offsets."""
        first, last = self._cells_covered(node, part, parts)
        first, last = first * window.stride - window.padding, (last - 1) * window.stride - window.padding
        return max(0, min(first, length - 1)), max(1, min(last + window.reach + 1, length))

    def _cells_covered(self, node: fx.Node, part: int, parts: int) -> Span:
        """The span that the node's windows may cover, for a part of the offsets."""
        if node in self.readers:
            reader, window = self.readers[node]
            first, last = self._cells_covered(reader, part, parts)
            return first * window.stride, (last - 1) * window.stride + window.reach + 1
        here, largest, length = self._spans_in(node, part, parts), self.largest(node, part, parts), self.lengths[node]
        return min(int(here[:, 0].min()), length - largest), min(int(here[:, 0].max()) + largest, length)

    def _spans_in(self, node: fx.Node, part: int, parts: int) -> Tensor:
        inside = torch.arange(len(self.offsets)) * parts // len(self.offsets) == part
        return self.spans[node][inside]

    def windows_for(self, offsets: Sequence[int]) -> dict[fx.Node, tuple[Tensor, int]]:
        """Node -> first cells (B,) and size of the batch's windows.

        All windows of a batch get the size of the largest, rounded up to a bucket. A window that would extend past the
        end of the map is shifted back inside, so that padding is only ever part of a window's halo.
        """
        batch = torch.tensor([self.offsets[offset] for offset in offsets])
        spans = torch.stack(list(self.spans.values()))[:, batch]
        sizes = self._bucketed(spans[..., 1] - spans[..., 0]).amax(1)
        lengths = torch.tensor(list(self.lengths.values()))
        starts = torch.minimum(spans[..., 0], (lengths - sizes)[:, None])
        placed = dict(zip(self.spans, zip(starts, sizes.tolist(), strict=True), strict=True))
        for node, (reader, window) in reversed(self.readers.items()):
            placed[node] = window.read(*placed[reader])
        return placed

    def _bucketed(self, sizes: Tensor) -> Tensor:
        """Window sizes (nodes, …) rounded up to one of ``SIZE_BUCKETS`` sizes for each node.

        oneDNN compiles and keeps a convolution for each new shape, so that few shapes take less time and memory.
        """
        largest = torch.stack([(spans[:, 1] - spans[:, 0]).amax() for spans in self.spans.values()])[:, None]
        return _bucketed(sizes, largest)


def _bucketed(sizes: Tensor, largest: Tensor) -> Tensor:
    bucket = -(-sizes * SIZE_BUCKETS // largest)
    return -(-bucket * largest // SIZE_BUCKETS)
