"""Layouts of thumbnails: from points in the plane to cells of a grid, one image a cell."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FILLED = 0.22  # fraction of cells that a scatter fills; the empty ones keep the points' shape
MOST_IN_GRID = 2_500
"""The largest number of images in a full grid: the assignment takes some seconds then, and grows with its cube."""


@dataclass(frozen=True)
class GridLayout:
    """The cell of each image: ``cells`` (N, 2), as column and row, in a grid of ``columns`` × ``rows`` cells."""

    cells: NDArray[np.int64]
    columns: int
    rows: int


def unit_square(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Points (N, 2) shifted and scaled into [0, 1]², by one factor on both axes, centered."""
    values = np.asarray(points, dtype=np.float64)
    low, high = values.min(axis=0), values.max(axis=0)
    scale = float((high - low).max()) or 1.0
    return (values - (low + high) / 2) / scale + 0.5


def scatter_layout(points: NDArray[np.floating]) -> GridLayout:
    """A layout that keeps the shape of the points (N, 2): each goes to the nearest free cell.

    Points are assigned in order of their distance from their mean, so that dense clusters grow outwards.
    """
    square = unit_square(points)
    extent = np.maximum(np.ptp(square, axis=0), 0.35)  # points on a line still get a grid of some height
    side = math.sqrt(len(square) / _FILLED / (extent[0] * extent[1]))
    shape = np.maximum(1, np.ceil(side * extent)).astype(int)
    wanted = (square - 0.5 + extent / 2) / extent * (shape - 1)
    wanted[:, 1] = (shape[1] - 1) - wanted[:, 1]  # rows count downwards
    margin = math.ceil(math.sqrt(len(square)))  # room for a dense cluster at the border
    wanted += margin
    taken = np.zeros(shape + 2 * margin, dtype=bool)
    cells = np.empty((len(square), 2), dtype=np.int64)
    for index in np.argsort(((wanted - wanted.mean(axis=0)) ** 2).sum(axis=1), kind="stable"):
        cells[index] = _nearest_free(taken, wanted[index])
        taken[tuple(cells[index])] = True
    return _trimmed(cells)


def _trimmed(cells: NDArray[np.int64]) -> GridLayout:
    """The cells on the smallest grid that holds them."""
    cells = cells - cells.min(axis=0)
    columns, rows = (cells.max(axis=0) + 1).tolist()
    return GridLayout(cells, columns, rows)


def _nearest_free(taken: NDArray[np.bool_], wanted: NDArray[np.float64]) -> tuple[int, int]:
    """The free cell nearest to a point, searched in growing squares around it."""
    column, row = np.rint(wanted).astype(int)
    reach = 0
    while True:
        left, top = max(column - reach, 0), max(row - reach, 0)
        free = np.argwhere(~taken[left : column + reach + 1, top : row + reach + 1]) + np.array([left, top])
        if len(free):
            squared = ((free - wanted) ** 2).sum(axis=1)
            best = int(squared.argmin())
            # A cell outside the square could still be nearer than one in its corner.
            if squared[best] <= (reach + 0.5) ** 2 or reach > max(taken.shape):
                return int(free[best][0]), int(free[best][1])
        reach += 1


def grid_layout(points: NDArray[np.floating]) -> GridLayout:
    """A full grid: each point (N, 2) gets one cell, with the smallest sum of squared distances.

    Linear assignment (Jonker & Volgenant 1987, as SciPy solves it), unlike the nearest free cells of Karpathy's
    "t-SNE visualization of CNN codes".
    """
    from scipy.optimize import linear_sum_assignment

    count = len(points)
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    square = unit_square(points)
    spread = np.argsort(np.argsort(square, axis=0, kind="stable"), axis=0) / max(count - 1, 1)
    # Half by rank: otherwise points with much empty space between them send whole clusters to the border.
    target = (square + spread) / 2
    target[:, 1] = 1 - target[:, 1]
    column, row = np.meshgrid(np.arange(columns), np.arange(rows))
    cells = np.stack([column.ravel(), row.ravel()], axis=1)
    centers = (cells + 0.5) / (columns, rows)
    cost = ((target[:, None] - centers[None]) ** 2).sum(axis=2)
    _, chosen = linear_sum_assignment(cost)
    return GridLayout(cells[chosen].astype(np.int64), columns, rows)
