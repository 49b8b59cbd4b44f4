"""Intervals of means of few, dependent measurements, by the bootstrap."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
REPLICATES = 4_000


def trimmed_means(values: Values, trim: int = 0) -> Values:
    """Means (...,) of ``values`` (..., F, J), of each group F without its ``trim`` smallest and largest.

    Trimmed means follow no single outlier: Tukey & McLaughlin, "Less vulnerable confidence and significance procedures
    for location based on a single sample", Sankhya A 25, 1963.
    """
    kept = np.sort(values, -1)[..., trim : values.shape[-1] - trim] if trim else values
    means: Values = kept.mean((-2, -1))
    return means


def resampled_means(values: Values, seed: int = 0, replicates: int = REPLICATES, trim: int = 0) -> Values:
    """Means of resampled ``values`` (..., F, J), (..., R): F groups drawn first, then J within each that was drawn.

    The J measurements of a group are alike, so that only the groups count as independent: Davison & Hinkley,
    "Bootstrap Methods and their Application", 1997, section 3.8. Leading axes are resampled together; ``trim`` is that
    of ``trimmed_means``.
    """
    rng = np.random.default_rng(seed)
    groups, within = values.shape[-2:]
    first = rng.integers(groups, size=(replicates, groups, 1))
    second = rng.integers(within, size=(replicates, groups, within))
    return trimmed_means(values[..., first, second], trim)


def interval_of(estimate: float, means: Values, groups: int, level: float) -> tuple[float, float]:
    """The interval of ``level`` about an estimate, by its resampled ``means`` (R,), widened for few groups.

    With F groups the percentile interval is too narrow by √((F − 1) / F) and takes the normal distribution's tails for
    those of Student's t with F − 1 degrees of freedom: Hesterberg, "What Teachers Should Know About the Bootstrap",
    The American Statistician 69(4), 2015, arXiv:1411.5279. Both ends are moved from the estimate by that factor; with
    one group nothing is known and the interval is infinite.
    """
    if groups < 2:
        return -math.inf, math.inf
    from scipy.special import ndtri, stdtrit

    tail = (1 - level) / 2
    factor = float(stdtrit(groups - 1, tail) / ndtri(tail)) * math.sqrt(groups / (groups - 1))
    low, high = np.quantile(means, (tail, 1 - tail))
    return min(estimate, estimate + factor * float(low - estimate)), max(
        estimate, estimate + factor * float(high - estimate)
    )
