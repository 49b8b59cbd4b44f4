"""Reads windows from a cached feature map and pastes recomputed windows over them.

Each position of a batch has another window, so windows are gathered by index from a table whose rows hold the channels
of one cell. The same code runs on every device without synchronization.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cnnviz.attribution.incremental.windows import Span, Window
from cnnviz.runtime.precision import at_least_float32


class CachedMap:
    """``rows`` and ``cols`` of a clean feature map (1, C, H, W), as a table of cells (h·w, C).

    A whole map that is channels last in memory already is such a table and is not copied.
    """

    def __init__(self, feature_map: Tensor, rows: Span, cols: Span) -> None:
        _, channels, self.height, self.width = feature_map.shape
        self._top, self._left, self._breadth = rows[0], cols[0], cols[1] - cols[0]
        part = feature_map[0, :, slice(*rows), slice(*cols)].permute(1, 2, 0)
        self.cells = part.clone(memory_format=torch.contiguous_format) if part.numel() < feature_map.numel() else part
        self.cells = self.cells.reshape(-1, channels)

    def read(self, window: Window, fill: float = 0.0) -> Tensor:
        """The cells of ``window``, flat: (B·h·w, C); ``fill`` outside the map."""
        rows, cols = window.cells()
        beyond = None
        if not window.within(self.height, self.width):
            (rows, row_out), (cols, col_out) = _clamped(rows, self.height), _clamped(cols, self.width)
            beyond = (row_out[:, :, None] | col_out[:, None, :]).reshape(-1).nonzero().squeeze(1)
        rows, cols = (rows - self._top) * self._breadth, cols - self._left
        index = (rows[:, :, None] + cols[:, None, :]).reshape(-1)
        device = self.cells.device
        cells = self.cells.index_select(0, index.to(device, non_blocking=True))
        return cells if beyond is None else cells.index_fill_(0, beyond.to(device, non_blocking=True), fill)

    def sums(self, window: Window) -> Tensor:
        """The sums (B, C) over each rectangle of ``window``, which must lie within the cached part of the map.

        In float32 at least, since differences of these sums are small.
        """
        cells = at_least_float32(self.cells)
        inside_rows, inside_cols = (
            ((places >= first[:, None]) & (places < first[:, None] + size)).to(cells.dtype)
            for first, size, places in (
                (window.rows - self._top, window.height, torch.arange(len(self.cells) // self._breadth)),
                (window.cols - self._left, window.width, torch.arange(self._breadth)),
            )
        )
        inside = (inside_rows[:, :, None] * inside_cols[:, None, :]).flatten(1)
        with torch.autocast(cells.device.type, enabled=False):
            return inside.to(cells.device, non_blocking=True) @ cells


def _clamped(places: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Row or column indices clamped to a map of ``length``, and a mask of those that changed."""
    inside = places.clamp(0, length - 1)
    return inside, inside != places


def as_maps(cells: Tensor, window: Window) -> Tensor:
    """Flat cells (B·h·w, C) as maps (B, C, h, w), channels last in memory."""
    return cells.view(len(window.rows), window.height, window.width, -1).permute(0, 3, 1, 2)


def paste(cells: Tensor, window: Window, patch: Tensor, place: Window) -> None:
    """Write ``patch`` (B, C, h', w') at ``place`` into the ``cells`` of ``window``, in place.

    Both windows are in the coordinates of the same map; values outside ``window`` are dropped.
    """
    shifted = Window(place.rows - window.rows, place.cols - window.cols, place.height, place.width)
    inside = shifted.within(window.height, window.width)
    if inside and shifted.aligned():
        row, col = int(shifted.rows[0]), int(shifted.cols[0])
        as_maps(cells, window)[:, :, row : row + place.height, col : col + place.width] = patch
        return
    rows, cols = shifted.cells()
    first = torch.arange(len(rows)) * (window.height * window.width)
    index = ((rows * window.width + first[:, None])[:, :, None] + cols[:, None, :]).reshape(-1)
    values = patch.permute(0, 2, 3, 1).reshape(-1, patch.shape[1])
    if not inside:
        row_in, col_in = (rows >= 0) & (rows < window.height), (cols >= 0) & (cols < window.width)
        kept = (row_in[:, :, None] & col_in[:, None, :]).reshape(-1).nonzero().squeeze(1)
        index, values = index[kept], values.index_select(0, kept.to(values.device, non_blocking=True))
    cells.index_copy_(0, index.to(cells.device, non_blocking=True), values)
