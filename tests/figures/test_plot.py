"""The line plot: lines where their numbers say, dashes, and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from cnnviz.errors import UsageError
from cnnviz.figures.plot import Series, line_plot

_FAR = Series("far", [0, 1], [-4, 4], "blue")


def colored(*series: Series) -> np.ndarray:
    """Where the plot is red, (height, width), below the legend."""
    picture = np.asarray(line_plot(series, "share", "probability", (400, 300))).astype(int)
    red = (picture[..., 0] - picture[..., 1:].max(-1)) > 60
    red[: 30 * len(series)] = False
    return red


def test_lines_rise_and_fall_with_their_numbers():
    rows = [np.nonzero(colored(Series("rising", [0, 1], [0, 1], "red"))[:, column])[0].mean() for column in (80, 350)]
    assert rows[0] > rows[1] + 100
    level = np.nonzero(colored(Series("level", [0, 0.5, 1], [0.7, 0.7, 0.7], "red")))[0]
    assert level.max() - level.min() <= 3


def test_what_is_negative_lies_below_what_is_positive():
    def height(value: float) -> float:
        return np.nonzero(colored(Series("level", [0, 1], [value, value], "red"), _FAR))[0].mean()

    assert height(-3) > height(0) + 50 > height(3) + 100
    assert height(-0.1) > height(0.1)


def test_a_dashed_line_has_gaps():
    whole = colored(Series("whole", [0, 1], [0.5, 0.5], "red")).any(0)
    dashed = colored(Series("dashed", [0, 0.4, 1], [0.5, 0.5, 0.5], "red", dashed=True)).any(0)
    assert 0.4 < dashed.sum() / whole.sum() < 0.8
    assert np.diff(dashed.astype(int)).clip(0).sum() > 15


def test_what_cannot_be_plotted():
    for xs, ys in (([0, 1], [1]), ([], []), ([0, 1], [0, float("nan")])):
        with pytest.raises(UsageError):
            line_plot([Series("x", xs, ys, "red")], "x", "y")
