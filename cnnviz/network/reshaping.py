"""The layout of a tensor after its axes were split and merged, from its lengths before and after."""

from __future__ import annotations

from collections.abc import Container, Sequence

ROWS_AND_COLUMNS = "HW"


def reshaped(letters: str, before: Sequence[int], after: Sequence[int], sizes: Container[tuple[int, int]]) -> str:
    """The letters of a view of the lengths ``after`` of a tensor with ``letters`` and the lengths ``before``.

    Rows and columns that are merged, rows first, are tokens (T), and tokens that are split into one of the known
    ``sizes`` (height, width) are rows and columns. Rows that are split are rows and an axis of fixed length.

    Raises ValueError where the axes cannot be followed.
    """
    found, old, new = "", 0, 0
    while old < len(before) or new < len(after):
        start, first = old, new
        left, right = 1, 1
        while left != right or old == start or new == first:
            if (left <= right or new == len(after)) and old < len(before):
                left, old = left * before[old], old + 1
            elif new < len(after):
                right, new = right * after[new], new + 1
            else:
                break
        if left != right:
            raise ValueError("lengths that do not match")
        found += _joint(letters[start:old], tuple(after[first:new]), sizes)
    return found


def merged(letters: str) -> str:
    """The letter of one axis that some were merged into."""
    if set(letters) == {"C"} or len(letters) == 1:
        return letters[0]
    return "T" if letters == ROWS_AND_COLUMNS else "*"


def _joint(letters: str, lengths: tuple[int, ...], sizes: Container[tuple[int, int]]) -> str:
    """The letters of axes of ``lengths`` that together were the axes ``letters``."""
    if len(letters) == len(lengths) == 1 or not letters:
        return letters or "C" * len(lengths)
    if not lengths:
        return ""
    if len(lengths) == 1:
        return merged(letters)
    if set(letters) == {"C"}:
        return "C" * len(lengths)
    if letters == "T" and lengths in sizes:
        return ROWS_AND_COLUMNS
    if letters in ROWS_AND_COLUMNS and len(lengths) == 2:
        return letters + "C"
    raise ValueError("positions that are taken apart")
