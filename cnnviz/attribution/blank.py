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


def is_constant(found: Tensor) -> bool:
    """Whether a map is the same everywhere, or not a number somewhere: it puts no pixel before another."""
    return not bool(found.isfinite().all()) or not bool(found.amin() < found.amax())
