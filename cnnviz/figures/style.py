"""Sheets of one photo painted several times: with the values of a setting, or in many styles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def style_sheet(photo: Image.Image, paintings: Mapping[str, Image.Image], columns: int, tile: int) -> Image.Image:
    """A photo and its paintings in rows, the style's name under each.

    Args:
        photo: the first on the sheet.
        paintings: by the name of their style.
        columns: the most images in a row.
        tile: longer side of each, in pixels.
    """
    images = [photo, *paintings.values()]
    return grid(images, min(len(images), columns), ["photo", *paintings], tile=tile)
