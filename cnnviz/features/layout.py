"""Layouts: from points on a plane to places for thumbnails, none over another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FILLED = 0.22  # share of the cells a scatter fills: enough empty ones to keep the points' shape
MOST_IN_GRID = 2_500
"""The assignment's time grows with the cube of the number of pictures; so many take some seconds."""


@dataclass(frozen=True)
class GridLayout:
    """Cells (N, 2) as column and row, of a sheet of ``columns`` × ``rows`` cells."""

    cells: NDArray[np.int64]
    columns: int
    rows: int


def unit_square(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Points moved and scaled into [0, 1]², the same on both axes, in the middle."""
    values = np.asarray(points, dtype=np.float64)
    low, high = values.min(axis=0), values.max(axis=0)
    scale = float((high - low).max()) or 1.0
    return (values - (low + high) / 2) / scale + 0.5


def scatter_layout(points: NDArray[np.floating]) -> GridLayout:
    """Every point into the free cell nearest to it, so that thumbnails keep their map's shape without overlap.

    The points are taken in order of their distance from the middle of the points, so that dense clusters grow outwards.
    """
    square = unit_square(points)
    extent = np.maximum(np.ptp(square, axis=0), 0.35)  # a line of points still gets a sheet with some height
    side = math.sqrt(len(square) / _FILLED / (extent[0] * extent[1]))
    shape = np.maximum(1, np.ceil(side * extent)).astype(int)
    wanted = (square - 0.5 + extent / 2) / extent * (shape - 1)
    wanted[:, 1] = (shape[1] - 1) - wanted[:, 1]  # upwards on the page is upwards on the axis
    margin = math.ceil(math.sqrt(len(square)))  # for a dense cluster at the border to grow outwards
    wanted += margin
    taken = np.zeros(shape + 2 * margin, dtype=bool)
    cells = np.empty((len(square), 2), dtype=np.int64)
    for index in np.argsort(((wanted - wanted.mean(axis=0)) ** 2).sum(axis=1), kind="stable"):
        cells[index] = _nearest_free(taken, wanted[index])
        taken[tuple(cells[index])] = True
    return _trimmed(cells)


def _trimmed(cells: NDArray[np.int64]) -> GridLayout:
    """Cells on the smallest sheet that holds them."""
    cells = cells - cells.min(axis=0)
    columns, rows = (cells.max(axis=0) + 1).tolist()
    return GridLayout(cells, columns, rows)


def _nearest_free(taken: NDArray[np.bool_], wanted: NDArray[np.float64]) -> tuple[int, int]:
    """The free cell nearest to a place, looked for in growing squares around it."""
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
    """Every point into one cell of a full grid, the squared ways together as short as can be.

    Linear assignment (Jonker & Volgenant 1987, as SciPy solves it) instead of nearest free cells, as in
    Karpathy's "t-SNE visualization of CNN codes".
    """
    from scipy.optimize import linear_sum_assignment

    count = len(points)
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    square = unit_square(points)
    spread = np.argsort(np.argsort(square, axis=0, kind="stable"), axis=0) / max(count - 1, 1)
    # Half by rank: a map with much empty room would otherwise send whole clusters to the rim.
    target = (square + spread) / 2
    target[:, 1] = 1 - target[:, 1]
    column, row = np.meshgrid(np.arange(columns), np.arange(rows))
    cells = np.stack([column.ravel(), row.ravel()], axis=1)
    centres = (cells + 0.5) / (columns, rows)
    cost = ((target[:, None] - centres[None]) ** 2).sum(axis=2)
    _, chosen = linear_sum_assignment(cost)
    return GridLayout(cells[chosen].astype(np.int64), columns, rows)
