"""Numbers as people type them: plain digits, finite. Python's ``int`` and ``float`` also take ``1_000``, ``nan``."""

from __future__ import annotations

import math
import re

_WHOLE = re.compile(r"[+-]?[0-9]+")
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DIGITS = 19  # more than any size, count or seed has


def whole(text: str) -> int | None:
    """The whole number that ``text`` spells in plain digits; None for anything else, and from 10^19 on."""
    text = text.strip(" ")
    return int(text) if _WHOLE.fullmatch(text) and len(text.lstrip("+-0")) <= _DIGITS else None


def real(text: str) -> float | None:
    """The finite number that ``text`` spells, as 0.5 or 1e-3; None for anything else."""
    text = text.strip(" ")
    value = float(text) if _REAL.fullmatch(text) else math.nan
    return value if math.isfinite(value) else None


def index(text: str) -> int | None:
    """The number from 0 on that ``text`` spells in plain digits; None for anything else."""
    value = whole(text)
    return value if value is not None and value >= 0 else None


def position(text: str) -> tuple[int, int] | None:
    """A row and a column, as ``6,9``; None for anything else."""
    parts = [index(part) for part in text.split(",")]
    return (parts[0], parts[1]) if len(parts) == 2 and None not in parts else None  # type: ignore[return-value]
