"""The figures of ``visualize``: images of classes or channels, one alone or many on a sheet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image

from cnnviz.figures.grid import grid, panel
from cnnviz.imaging.pixels import to_pil_image

if TYPE_CHECKING:
    from torch import Tensor


def image_or_grid(pixels: Tensor) -> Image.Image:
    """One image as it is, several on a sheet without captions.

    Args:
        pixels: (N, 3, H, W), clipped to [0, 1].
    """
    images = _images(pixels)
    return images[0] if len(images) == 1 else grid(images, tile=max(images[0].size))


def visualization_sheet(pixels: Tensor, captions: Sequence[str], title: str) -> Image.Image:
    """The images with a caption under each and a title above.

    Args:
        pixels: (N, 3, H, W), clipped to [0, 1].
        captions: one for each image.
        title: one line, shortened to fit.
    """
    images = _images(pixels)
    if len(images) == 1:
        return panel(images, captions, title=title)
    return grid(images, captions=captions, title=title, tile=max(images[0].size))


def _images(pixels: Tensor) -> list[Image.Image]:
    return [to_pil_image(image, clamp=True) for image in pixels.split(1)]
