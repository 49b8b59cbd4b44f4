"""Maps that show nothing, so that nobody takes a black picture for an answer."""

from __future__ import annotations

from torch import Tensor


def blankness(found: Tensor) -> str | None:
    """``zero everywhere`` or ``negative everywhere`` of a map with nothing else in it; None of any other."""
    if bool((found > 0).any()):
        return None
    if not bool((found < 0).any()):
        return "zero everywhere"
    return "negative everywhere" if bool((found < 0).all()) else "zero or negative everywhere"
