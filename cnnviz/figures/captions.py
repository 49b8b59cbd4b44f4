"""Numbers as figures, pages and messages show them."""

from __future__ import annotations


def percent(probability: float) -> str:
    """A probability in [0, 1] as text: ``96 %``, ``0.3 %``, never a rounded ``100 %`` or ``0 %``."""
    if 0.005 <= probability < 0.995:
        return f"{probability:.0%}".replace("%", " %")
    if probability >= 0.995:
        return f"{min(probability, 0.99999):.3%}".replace("%", " %")
    return f"{probability:.1%}".replace("%", " %") if probability >= 0.0005 else "< 0.05 %"


def three_digits(value: float) -> str:
    """A number with three significant digits, without powers of ten where possible: 1790, 16.9, 0.0042."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
