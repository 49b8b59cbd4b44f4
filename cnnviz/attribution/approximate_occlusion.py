"""Approximate occlusion: coarse everywhere, fine where it is hot, and the error that makes, measured.

Nakandala, Kumar & Papakonstantinou, "Incremental and Approximate Inference for Faster Occlusion-based Deep CNN
Explanations", SIGMOD 2019: their adaptive drill-down, and their threshold on the growth of the recomputed window, here
a cap on its share of the map. Other than there the error is measured on positions drawn at random, rather than set
beforehand by the likeness of pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

COARSE = 3
"""Fine strides to a coarse one."""

HOTTEST = 0.25
"""Share of the positions that are computed at the fine stride."""

WINDOW_CAP = 0.8
"""Share of a map's height and width that windows may grow to."""

CHECKED = 0.05
"""Share of the positions that are computed exactly as well, to measure the error."""

Effects = Callable[[Sequence[int], bool], tuple[Tensor, Tensor]]
"""Indices of positions, and whether to compute exactly -> the drops (P,) and the winning classes (P,)."""


@dataclass(frozen=True)
class ApproximationError:
    """How far approximate drops are from exact ones, at ``checked`` positions (row-major) drawn at random.

    ``largest`` and ``mean`` are absolute differences as shares of the largest drop, positive or negative, on the
    map; ``computed`` is how many positions were computed at all, and ``positions`` how many there are.
    """

    checked: tuple[int, ...]
    largest: float
    mean: float
    computed: int
    positions: int


def work(rows: int, cols: int) -> int:
    """How many positions of a grid ``drill_down`` computes."""
    return len(_coarse(rows)) * len(_coarse(cols)) + sum(_shares(rows, cols))


def drill_down(
    tops: Tensor, lefts: Tensor, effects: Effects, generator: torch.Generator
) -> tuple[Tensor, Tensor, ApproximationError]:
    """The drops and classes (rows, columns) of a grid of positions, most of them interpolated, and their error.

    Positions are interpolated linearly between coarse ones, classes taken from the nearest. ``generator`` draws the
    positions that are checked.
    """
    rows, cols = len(tops), len(lefts)
    between = [_interpolation(starts) for starts in (tops, lefts)]
    coarse = [row * cols + col for row in _coarse(rows) for col in _coarse(cols)]
    drops, classes = (values.cpu() for values in effects(coarse, False))
    grid = (len(_coarse(rows)), len(_coarse(cols)))
    filled = (between[0] @ drops.double().view(grid) @ between[1].T).flatten()
    nearest = classes.view(grid)[between[0].argmax(1)][:, between[1].argmax(1)].flatten()
    hot, checked = _shares(rows, cols)
    eligible = filled.clone()
    eligible[coarse] = -torch.inf
    chosen = eligible.topk(hot).indices.tolist()
    if chosen:
        drops, classes = (values.cpu() for values in effects(chosen, False))
        filled[chosen], nearest[chosen] = drops.double(), classes
    sample = sorted(torch.randperm(rows * cols, generator=generator)[:checked].tolist())
    wrong = (filled[sample] - effects(sample, True)[0].cpu().double()).abs() / filled.abs().max().clamp_min(1e-12)
    error = ApproximationError(
        tuple(sample), float(wrong.max()), float(wrong.mean()), len(coarse) + len(chosen), rows * cols
    )
    return filled.view(rows, cols).to(drops.dtype), nearest.view(rows, cols), error


def _coarse(count: int) -> list[int]:
    """Which of ``count`` rows or columns are computed whole: every third, and the last."""
    return sorted({*range(0, count, COARSE), count - 1})


def _shares(rows: int, cols: int) -> tuple[int, int]:
    """How many positions are computed at the fine stride, and how many are checked."""
    others = rows * cols - len(_coarse(rows)) * len(_coarse(cols))
    return min(others, round(HOTTEST * rows * cols)), max(1, round(CHECKED * rows * cols))


def _interpolation(starts: Tensor) -> Tensor:
    """Weights (all, coarse) that interpolate linearly between the coarse ones of ``starts`` (pixels)."""
    known = starts[_coarse(len(starts))].double()
    identity = torch.eye(len(known), dtype=torch.double)
    if len(known) == 1:
        return identity
    after = torch.searchsorted(known, starts.double()).clamp(1, len(known) - 1)
    share = (starts - known[after - 1]) / (known[after] - known[after - 1])
    return identity[after - 1] * (1 - share)[:, None] + identity[after] * share[:, None]
