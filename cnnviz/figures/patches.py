"""The sheet of ``patches``: for each channel the patches that excite it most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from cnnviz.figures.captions import three_digits
from cnnviz.figures.grid import grid

PATCH_SIDE = 144
"""The longer side of a patch on the sheet, in pixels."""

_OUTSIDE = (226, 226, 226)  # the color of what lies beyond the photo's border


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


def crop_window(
    photo: Image.Image, size: tuple[int, int], window: tuple[int, int, int, int], side: int = PATCH_SIDE
) -> Image.Image:
    """A window of the network's input, cropped from the photo at its own resolution.

    Args:
        photo: of any size.
        size: height and width of the network's input.
        window: top, left, bottom, right in pixels of the network's input; what lies beyond the border is light gray.
        side: pixels of the window's longer side, however much of it lies within the photo, so that patches of one
            layer have one scale.
    """
    height, width = size
    top, left, bottom, right = window
    scale = side / max(bottom - top, right - left)
    canvas = Image.new("RGB", (_scaled(right - left, scale), _scaled(bottom - top, scale)), _OUTSIDE)
    inner = (max(top, 0), max(left, 0), min(bottom, height), min(right, width))
    if inner[0] >= inner[2] or inner[1] >= inner[3]:
        return canvas
    across, down = photo.width / width, photo.height / height
    box = (inner[1] * across, inner[0] * down, inner[3] * across, inner[2] * down)
    shown = (_scaled(inner[3] - inner[1], scale), _scaled(inner[2] - inner[0], scale))
    piece = photo.convert("RGB").resize(shown, Image.Resampling.BICUBIC, box=box)
    canvas.paste(piece, (round((inner[1] - left) * scale), round((inner[0] - top) * scale)))
    return canvas


def _scaled(length: int, scale: float) -> int:
    return max(1, round(length * scale))
