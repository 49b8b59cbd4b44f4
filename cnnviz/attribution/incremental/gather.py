"""Reading windows out of a cached feature map and laying recomputed windows over it.

Positions of a batch differ, so windows are read by index arithmetic: one selection of rows of a table in
which each row is the channels of one cell. The same code runs on every device without waiting for it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cnnviz.attribution.incremental.plan import Window


class CachedMap:
    """A feature map (1, C, H, W) of the un-occluded picture as a table of cells (H·W, C).

    A map that lies in memory channels last is such a table already and is not copied.
    """

    def __init__(self, feature_map: Tensor) -> None:
        _, channels, self.height, self.width = feature_map.shape
        self.cells = feature_map[0].permute(1, 2, 0).reshape(-1, channels)

    def read(self, window: Window, fill: float = 0.0) -> Tensor:
        """The cells of ``window``, flat: (B·h·w, C); ``fill`` where it hangs over the map."""
        index = cell_index(window, self.height, self.width, -1)
        beyond = (index < 0).nonzero().squeeze(1)
        device = self.cells.device
        cells = self.cells.index_select(0, index.clamp_(min=0).to(device, non_blocking=True))
        return cells.index_fill_(0, beyond.to(device, non_blocking=True), fill) if len(beyond) else cells


def cell_index(window: Window, height: int, width: int, outside: int) -> Tensor:
    """Row-major indices (B·h·w,) of the window's cells in a map; ``outside`` for cells beyond the map."""
    rows = window.rows[:, None] + torch.arange(window.height)
    cols = window.cols[:, None] + torch.arange(window.width)
    index = (rows * width)[:, :, None] + cols[:, None, :]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((cols >= 0) & (cols < width))[:, None, :]
    return torch.where(inside, index, outside).reshape(-1)


def as_maps(cells: Tensor, window: Window) -> Tensor:
    """Flat cells (B·h·w, C) as maps (B, C, h, w), channels last in memory."""
    return cells.view(len(window.rows), window.height, window.width, -1).permute(0, 3, 1, 2)


def overlay(cells: Tensor, window: Window, patch: Tensor, place: Window) -> None:
    """Write ``patch`` (B, C, h', w'), which lies at ``place``, over the ``cells`` of ``window``, in place.

    Both windows are in the coordinates of one map; what lies outside ``window`` is dropped.
    """
    top, left = place.rows - window.rows, place.cols - window.cols
    if _aligned(top, place.height, window.height) and _aligned(left, place.width, window.width):
        row, col = int(top[0]), int(left[0])
        as_maps(cells, window)[:, :, row : row + place.height, col : col + place.width] = patch
        return
    size = window.height * window.width
    index = cell_index(Window(top, left, place.height, place.width), window.height, window.width, -size * len(top))
    index = index.view(len(top), -1) + size * torch.arange(len(top))[:, None]
    index = index.reshape(-1)
    rows = patch.permute(0, 2, 3, 1).reshape(-1, patch.shape[1])
    kept = (index >= 0).nonzero().squeeze(1)
    if len(kept) < len(index):
        index, rows = index[kept], rows.index_select(0, kept.to(rows.device, non_blocking=True))
    cells.index_copy_(0, index.to(cells.device, non_blocking=True), rows)


def _aligned(offsets: Tensor, size: int, room: int) -> bool:
    """Whether all patches lie at the same offset and inside the window, so that one slice holds them all."""
    low, high = int(offsets.min()), int(offsets.max())
    return low == high and low >= 0 and low + size <= room
