"""The sheet of ``patches``: for each channel the patches that excite it most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from cnnviz.figures.captions import three_digits
from cnnviz.figures.grid import grid

PATCH_SIDE = 144
"""The longer side of a patch on the sheet, in pixels."""


@dataclass(frozen=True)
class PatchTile:
    """A patch, the activation it causes, and its gradient image if that is shown."""

    image: Image.Image
    activation: float
    gradient: Image.Image | None = None


def patch_sheet(channels: Mapping[int, Sequence[PatchTile]], title: str) -> Image.Image:
    """One row for each channel, and below it one of gradients if there are any, as in Springenberg et al. 2015.

    Args:
        channels: the patches of each channel, strongest first; short rows end in white.
        title: one line above.
    """
    columns = max(len(row) for row in channels.values())
    blank = Image.new("RGB", (PATCH_SIDE, PATCH_SIDE), "white")
    tiles: list[Image.Image] = []
    captions: list[str] = []
    labels: list[str] = []
    for channel, row in channels.items():
        empty = columns - len(row)
        tiles += [*(patch.image for patch in row), *[blank] * empty]
        captions += [*(three_digits(patch.activation) for patch in row), *[""] * empty]
        labels.append(f"channel {channel}")
        gradients = [patch.gradient for patch in row if patch.gradient is not None]
        if gradients:
            tiles += [*gradients, *[blank] * empty]
            captions += [""] * columns
            labels.append("guided")
    return grid(tiles, columns, captions, row_labels=labels, title=title, tile=PATCH_SIDE)
