"""The figure of ``style --sweep``: one photo painted with several values of a setting."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from cnnviz.figures.grid import grid


def sweep_sheet(
    paintings: Sequence[Image.Image], name: str, values: Sequence[float], *, is_unfinished: bool = False
) -> Image.Image:
    """The paintings in rows of up to four, the setting's value under each.

    Args:
        paintings: an image for each of the first of ``values``, at least one.
        name: of the setting, such as ``content weight``.
        values: all values, in order.
        is_unfinished: whether the last painting is.
    """
    captions = [f"{name} {value:g}" for value in values[: len(paintings)]]
    if is_unfinished:
        captions[-1] += ": unfinished"
    return grid(paintings, min(len(paintings), 4), captions, tile=max(paintings[0].size))
