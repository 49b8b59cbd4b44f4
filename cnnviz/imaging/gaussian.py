"""Gaussian blur of NumPy arrays: importing SciPy's would take longer than a whole saliency map."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Float = TypeVar("_Float", bound=np.floating)


def gaussian_blur_valid(values: NDArray[_Float], sigma: float, radius: int) -> NDArray[_Float]:
    """An array (H, W) blurred where the kernel fits into it: (H - 2 radius, W - 2 radius), in its own precision.

    Args:
        values: Floats (H, W).
        sigma: Standard deviation of the Gaussian, in pixels.
        radius: Where the Gaussian is cut off, in pixels.
    """
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    return _correlate_rows(_correlate_rows(values, kernel).T, kernel).T


def _correlate_rows(values: NDArray[_Float], kernel: NDArray[np.float64]) -> NDArray[_Float]:
    """The weighted sum of each row and the rows below it."""
    found = np.zeros_like(values[: len(values) - len(kernel) + 1])
    for start, weight in enumerate(kernel.astype(values.dtype)):
        found += weight * values[start : start + len(found)]
    return found
