"""Window arithmetic: which cells of each feature map an occluded patch can reach.

Everything local in a network works on rows and columns alike and apart, so a window is two spans, and all the
arithmetic is done once for each axis. A span is a half-open interval ``[first, last)`` of cells; the spans of
K patch offsets stand in one long tensor (K, 2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

Span = tuple[int, int]
"""The first cell along an axis, and the one after the last."""


@dataclass(frozen=True)
class Stencil:
    """An output cell o reads cells ``o * stride - padding + dilation * j`` for j < ``kernel``."""

    kernel: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    @property
    def reach(self) -> int:
        """Distance from the first to the last cell read."""
        return self.dilation * (self.kernel - 1)

    def reached(self, spans: Tensor, length: int) -> Tensor:
        """Spans (K, 2) of the output cells, of ``length`` in all, that read the input ``spans`` (K, 2)."""
        first = -((self.reach - self.padding - spans[:, 0]) // self.stride)  # rounded up
        last = (spans[:, 1] - 1 + self.padding) // self.stride + 1
        return inside(torch.stack([first, last], dim=1), length)

    def read_in_all(self, length: int) -> int:
        """The number of input cells, from the first on, that ``length`` output cells read without padding."""
        return (length - 1) * self.stride + self.reach + 1

    def read(self, start: Tensor, size: int) -> tuple[Tensor, int]:
        """Start and size of what ``size`` output cells from ``start`` on read, padding included."""
        return start * self.stride - self.padding, self.read_in_all(size)


_ROOM = 1.5
"""A cap on windows leaves a patch this many times its own share of the picture."""

LEVELS = 7
"""Sizes a node's windows can have along an axis. At 224 pixels the last maps are of 7 and 14 cells, in which this many
round up nothing or a single cell."""

POINT = Stencil()
"""An elementwise operation."""


def inside(spans: Tensor, length: int) -> Tensor:
    """Spans (K, 2) clipped to a map of ``length`` cells, each of at least one cell.

    A patch that no output cell reads keeps one cell, which is then recomputed to what it was.
    """
    first = spans[:, 0].clamp(0, length - 1)
    last = torch.maximum(spans[:, 1].clamp(max=length), first + 1)
    return torch.stack([first, last], dim=1)


def hull(spans: Sequence[Tensor]) -> Tensor:
    """The smallest spans (K, 2) that hold all of ``spans``."""
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

    def read_by(self, stencils: tuple[Stencil, Stencil]) -> Window:
        """The window of the input from which this window is computed."""
        rows, height = stencils[0].read(self.rows, self.height)
        cols, width = stencils[1].read(self.cols, self.width)
        return Window(rows, cols, height, width)

    def cells(self) -> tuple[Tensor, Tensor]:
        """The rows (B, height) and columns (B, width) of the map that it covers."""
        return self.rows[:, None] + torch.arange(self.height), self.cols[:, None] + torch.arange(self.width)

    def within(self, height: int, width: int) -> bool:
        """Whether no rectangle hangs over a map of this size."""
        return all(
            int(first.min()) >= 0 and int(first.max()) + size <= length
            for first, size, length in ((self.rows, self.height, height), (self.cols, self.width, width))
        )

    def aligned(self) -> bool:
        """Whether all rectangles are the same one."""
        return all(bool((first == first[0]).all()) for first in (self.rows, self.cols))

    def same(self, other: Window) -> bool:
        """Whether both windows are the same cells."""
        return (
            (self.height, self.width) == (other.height, other.width)
            and torch.equal(self.rows, other.rows)
            and torch.equal(self.cols, other.cols)
        )


def whole_window(batch: int, height: int, width: int) -> Window:
    """The window that is all of the map, for each position of a batch."""
    start = torch.zeros(batch, dtype=torch.long)
    return Window(start, start, height, width)


class AxisPlan:
    """The spans of every windowed node along one axis, for all offsets a patch can have there."""

    def __init__(self, offsets: Sequence[int], extent: int, length: int, cap: float = 1.0) -> None:
        self.cap = max(cap, _ROOM * extent / length)
        self.offsets = {offset: index for index, offset in enumerate(sorted(set(offsets)))}
        first = torch.tensor(list(self.offsets))
        self.patch = inside(torch.stack([first, first + extent], dim=1), length)
        self.spans: dict[fx.Node, Tensor] = {}
        self.lengths: dict[fx.Node, int] = {}
        self.readers: dict[fx.Node, tuple[fx.Node, Stencil]] = {}

    def add(self, node: fx.Node, spans: Tensor, length: int) -> None:
        """Register the spans (K, 2) of ``node``, whose map has ``length`` cells along this axis.

        Spans longer than the capped share of the map lose what is furthest from their middle.
        """
        longest = max(1, math.ceil(self.cap * length))
        cut = (spans[:, 1] - spans[:, 0] - longest).clamp_min(0)
        self.spans[node] = torch.stack([spans[:, 0] + cut // 2, spans[:, 1] - (cut - cut // 2)], dim=1)
        self.lengths[node] = length

    def fit_to_reader(self, node: fx.Node, reader: fx.Node, stencil: Stencil) -> None:
        """Make the spans of ``node`` those that ``reader`` reads, for good: whatever window that will have."""
        first, last = self.spans[reader].unbind(1)
        self.spans[node] = torch.stack([first * stencil.stride, (last - 1) * stencil.stride + stencil.reach + 1], dim=1)
        self.readers[node] = reader, stencil

    def ranks(self) -> dict[int, int]:
        """Offset -> its rank among all by the sizes of its windows: neighbours in rank have windows alike.

        Sizes differ near the border of the picture, where windows are cut off, and with the offset's
        remainder by the strides. The largest come first: what memory they take serves the smaller ones after them.
        """
        sizes = self._levelled(torch.stack([spans[:, 1] - spans[:, 0] for spans in self.spans.values()])).T.tolist()
        by_size = {offset: (sum(sizes[index]), sizes[index]) for offset, index in self.offsets.items()}
        alike = sorted(by_size, key=by_size.__getitem__, reverse=True)
        return {offset: rank for rank, offset in enumerate(alike)}

    def part(self, offset: int, parts: int) -> int:
        """In which of so many parts of the offsets, one after the other, this one is."""
        return self.offsets[offset] * parts // len(self.offsets)

    def largest(self, node: fx.Node, part: int, parts: int) -> int:
        """The size of the node's largest window in a part of the offsets."""
        if node in self.readers:
            reader, stencil = self.readers[node]
            return stencil.read_in_all(self.largest(reader, part, parts))
        sizes = (self.spans[node][:, 1] - self.spans[node][:, 0]).amax()
        here = self._spans_in(node, part, parts)
        return int(_levelled((here[:, 1] - here[:, 0]).amax(), sizes))

    def extent_read(self, node: fx.Node, stencil: Stencil, part: int, parts: int, length: int) -> Span:
        """The cells that the node's windows in a part of the offsets read of a map of ``length`` cells."""
        first, last = self._extent(node, part, parts)
        first, last = first * stencil.stride - stencil.padding, (last - 1) * stencil.stride - stencil.padding
        return max(0, min(first, length - 1)), max(1, min(last + stencil.reach + 1, length))

    def _extent(self, node: fx.Node, part: int, parts: int) -> Span:
        """From the first to the last cell that windows of the node may cover."""
        if node in self.readers:
            reader, stencil = self.readers[node]
            first, last = self._extent(reader, part, parts)
            return first * stencil.stride, (last - 1) * stencil.stride + stencil.reach + 1
        here, largest, length = self._spans_in(node, part, parts), self.largest(node, part, parts), self.lengths[node]
        return min(int(here[:, 0].min()), length - largest), min(int(here[:, 0].max()) + largest, length)

    def _spans_in(self, node: fx.Node, part: int, parts: int) -> Tensor:
        inside = torch.arange(len(self.offsets)) * parts // len(self.offsets) == part
        return self.spans[node][inside]

    def place(self, offsets: Sequence[int]) -> dict[fx.Node, tuple[Tensor, int]]:
        """Node -> first cells (B,) and size of the batch's windows.

        All windows of a batch get the size of the largest, rounded up to a level. Where that would hang over the end
        of the map the window is shifted back inside, so that the border's padding is never part of a window, only of
        its halo.
        """
        batch = torch.tensor([self.offsets[offset] for offset in offsets])
        spans = torch.stack(list(self.spans.values()))[:, batch]
        sizes = self._levelled(spans[..., 1] - spans[..., 0]).amax(1)
        lengths = torch.tensor(list(self.lengths.values()))
        starts = torch.minimum(spans[..., 0], (lengths - sizes)[:, None])
        placed = dict(zip(self.spans, zip(starts, sizes.tolist(), strict=True), strict=True))
        for node, (reader, stencil) in reversed(self.readers.items()):
            placed[node] = stencil.read(*placed[reader])
        return placed

    def _levelled(self, sizes: Tensor) -> Tensor:
        """``sizes`` (nodes, …) of windows rounded up to one of ``LEVELS`` for each node, the largest being its largest.

        A convolution of a new shape is compiled when it first runs, and kept: few shapes take less time and memory.
        """
        largest = torch.stack([(spans[:, 1] - spans[:, 0]).amax() for spans in self.spans.values()])[:, None]
        return _levelled(sizes, largest)


def _levelled(sizes: Tensor, largest: Tensor) -> Tensor:
    level = -(-sizes * LEVELS // largest)
    return -(-level * largest // LEVELS)
