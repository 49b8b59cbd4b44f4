"""The patch of a photo that one position of a feature map sees."""

from __future__ import annotations

from PIL import Image

from cnnviz.network.geometry import ReceptiveField

Box = tuple[int, int, int, int]

_OUTSIDE = (226, 226, 226)  # what the canvas shows beyond the picture's border


def patch_window(field: ReceptiveField | None, row: int, column: int, size: tuple[int, int]) -> Box:
    """Top, left, bottom, right (exclusive) of what a position sees, in pixels of a picture of ``size`` (H, W).

    It may hang over the border. The whole picture where ``field`` is None.
    """
    return field.window(row, column) if field else (0, 0, *size)


def cut_patch(photo: Image.Image, size: tuple[int, int], window: Box, side: int = 128) -> Image.Image:
    """Cut a window of what the network sees out of the photo at its own resolution.

    Args:
        photo: the photo.
        size: height and width at which the network saw all of it, in pixels.
        window: top, left, bottom, right in those pixels.
        side: the longer side of the window becomes so many pixels, whatever part of it lies within the picture, so
            that patches of one layer are scaled alike; what hangs over the border is light grey.
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
