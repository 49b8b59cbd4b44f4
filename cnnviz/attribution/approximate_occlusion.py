"""Approximate occlusion: a coarse grid, refined where the score drops most, with its error measured.

Nakandala, Kumar & Papakonstantinou, "Incremental and Approximate Inference for Faster Occlusion-based Deep CNN
Explanations", SIGMOD 2019: their adaptive drill-down, and their projective field threshold, here a cap on the window as
a fraction of the map. Unlike the paper, which sets the error in advance by structural similarity of the maps, this
measures it at positions drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

COARSE_STRIDE = 3
"""Number of strides between coarse positions."""

FINE_FRACTION = 0.25
"""Fraction of the positions that are computed in addition, where the interpolated drops are largest."""

WINDOW_CAP = 0.8
"""Largest window, as a fraction of a map's height and width."""

CHECKED_FRACTION = 0.05
"""Fraction of the positions that are also computed exactly, to measure the error."""

Evaluate = Callable[[Sequence[int], bool], tuple[Tensor, Tensor]]
"""Indices of P positions, whether to compute exactly -> score drops (P,) and predicted classes (P,)."""


@dataclass(frozen=True)
class ApproximationError:
    """The difference between approximate and exact score drops at random positions.

    Args:
        checked: indices of those positions, row-major.
        largest: the largest absolute difference, as a fraction of the map's largest absolute drop.
        mean: the mean absolute difference, likewise.
        computed: number of positions that were computed, not interpolated.
        positions: number of all positions.
    """

    checked: tuple[int, ...]
    largest: float
    mean: float
    computed: int
    positions: int


def num_evaluations(rows: int, cols: int) -> int:
    """The number of positions of a grid of ``rows`` by ``cols`` that ``drill_down`` computes."""
    return len(_coarse(rows)) * len(_coarse(cols)) + sum(_counts(rows, cols))


def drill_down(
    tops: Tensor, lefts: Tensor, evaluate: Evaluate, generator: torch.Generator
) -> tuple[Tensor, Tensor, ApproximationError]:
    """Score drops and predicted classes (rows, columns), most of them interpolated, and their error.

    Drops are interpolated linearly between coarse positions, classes taken from the nearest. ``generator`` draws the
    positions that are checked.
    """
    rows, cols = len(tops), len(lefts)
    weights = [_interpolation(starts) for starts in (tops, lefts)]
    coarse = [row * cols + col for row in _coarse(rows) for col in _coarse(cols)]
    drops, classes = (values.cpu() for values in evaluate(coarse, False))
    grid = (len(_coarse(rows)), len(_coarse(cols)))
    filled = (weights[0] @ drops.double().view(grid) @ weights[1].T).flatten()
    nearest = classes.view(grid)[weights[0].argmax(1)][:, weights[1].argmax(1)].flatten()
    hot, checked = _counts(rows, cols)
    eligible = filled.clone()
    eligible[coarse] = -torch.inf
    chosen = eligible.topk(hot).indices.tolist()
    if chosen:
        drops, classes = (values.cpu() for values in evaluate(chosen, False))
        filled[chosen], nearest[chosen] = drops.double(), classes
    sample = sorted(torch.randperm(rows * cols, generator=generator)[:checked].tolist())
    difference = (filled[sample] - evaluate(sample, True)[0].cpu().double()).abs() / filled.abs().max().clamp_min(1e-12)
    error = ApproximationError(
        tuple(sample), float(difference.max()), float(difference.mean()), len(coarse) + len(chosen), rows * cols
    )
    return filled.view(rows, cols).to(drops.dtype), nearest.view(rows, cols), error


def _coarse(count: int) -> list[int]:
    """The indices of the coarse rows or columns among ``count``: every third, and the last."""
    return sorted({*range(0, count, COARSE_STRIDE), count - 1})


def _counts(rows: int, cols: int) -> tuple[int, int]:
    """The numbers of positions that are computed in addition, and that are checked."""
    others = rows * cols - len(_coarse(rows)) * len(_coarse(cols))
    return min(others, round(FINE_FRACTION * rows * cols)), max(1, round(CHECKED_FRACTION * rows * cols))


def _interpolation(starts: Tensor) -> Tensor:
    """Weights (all, coarse) of linear interpolation between the coarse ones of ``starts`` (in pixels)."""
    known = starts[_coarse(len(starts))].double()
    identity = torch.eye(len(known), dtype=torch.double)
    if len(known) == 1:
        return identity
    after = torch.searchsorted(known, starts.double()).clamp(1, len(known) - 1)
    share = (starts - known[after - 1]) / (known[after] - known[after - 1])
    return identity[after - 1] * (1 - share)[:, None] + identity[after] * share[:, None]
