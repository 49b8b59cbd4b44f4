"""Layouts: one picture a cell, near where it belongs."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnviz.features.layout import GridLayout, grid_layout, scatter_layout, unit_square

points_of_any_kind = st.integers(1, 60).flatmap(
    lambda count: st.lists(
        st.tuples(st.floats(-1e3, 1e3, width=32), st.floats(-1e3, 1e3, width=32)), min_size=count, max_size=count
    )
)


def assert_places_apart(places: GridLayout, count: int) -> None:
    assert places.cells.shape == (count, 2)
    assert len({tuple(cell) for cell in places.cells.tolist()}) == count
    assert (places.cells >= 0).all()
    assert (places.cells < [places.columns, places.rows]).all()


@settings(max_examples=60, deadline=None)
@given(points_of_any_kind)
def test_no_two_pictures_in_one_cell(points):
    array = np.array(points)
    assert_places_apart(scatter_layout(array), len(points))
    assert_places_apart(grid_layout(array), len(points))


def test_a_thousand_copies_of_one_point():
    assert_places_apart(scatter_layout(np.zeros((1000, 2))), 1000)


def test_scatter_moves_points_that_have_room_by_less_than_a_cell():
    rng = np.random.default_rng(0)
    points = rng.uniform(-7, 5, size=(400, 2))
    points[0], points[1] = (-7, -7), (5, 5)
    places = scatter_layout(points)
    wanted = unit_square(points) * [1, -1]
    cells = math.sqrt(400 / 0.22)  # in a row and in a column
    moved = (places.cells - places.cells.mean(axis=0)) - (wanted - wanted.mean(axis=0)) * cells
    moved = np.linalg.norm(moved, axis=1)
    assert np.median(moved) < 0.6
    assert moved.max() < 3


def test_a_dense_cluster_at_the_border_stays_round():
    """It grows outwards, instead of filling a block along the border."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(scale=0.01, size=(200, 2)), [[10.0, 0.0], [10.0, 6.0], [10.0, -6.0]]])
    places = scatter_layout(points)
    width, height = np.ptp(places.cells[:200], axis=0) + 1
    assert 0.75 < width / height < 1.35
    assert width * height < 1.8 * 200


def test_up_is_up():
    points = np.array([[0.0, 10.0], [0.0, -10.0], [4.0, 0.0]])
    for places in (scatter_layout(points), grid_layout(points)):
        assert places.cells[0, 1] < places.cells[1, 1]


def test_the_grid_is_the_cheapest_assignment():
    """Against all 9! ways to fill it would be long; all 720 ways for six points in a 3×2 grid are not."""
    points = np.random.default_rng(2).normal(size=(6, 2))
    places = grid_layout(points)
    square = unit_square(points)
    ranks = np.argsort(np.argsort(square, axis=0), axis=0) / 5
    target = (square + ranks) / 2
    target[:, 1] = 1 - target[:, 1]

    def cost(cells: np.ndarray) -> float:
        return float(((target - (cells + 0.5) / (3, 2)) ** 2).sum())

    cells = np.array([(column, row) for row in range(2) for column in range(3)])
    assert (places.columns, places.rows) == (3, 2)
    assert cost(places.cells) == pytest.approx(min(cost(cells[list(order)]) for order in permutations(range(6))))


def test_the_grid_is_full():
    places = grid_layout(np.random.default_rng(0).normal(size=(50, 2)))
    assert (places.columns, places.rows) == (8, 7)
