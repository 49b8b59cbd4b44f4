"""Detects attribution maps without positive values, which are drawn black."""

from __future__ import annotations

from torch import Tensor


def blankness(found: Tensor) -> str | None:
    """``zero everywhere``, ``negative everywhere`` or both for a map without positive values; None for any other."""
    if bool((found > 0).any()):
        return None
    if not bool((found < 0).any()):
        return "zero everywhere"
    return "negative everywhere" if bool((found < 0).all()) else "zero or negative everywhere"
