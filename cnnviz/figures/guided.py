"""Gradient images: what raises a class score or one neuron's activation, in color about mid-gray."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from cnnviz.figures.grid import panel
from cnnviz.imaging.bands import Channels, select_channels
from cnnviz.imaging.map_ops import scale_maximum
from cnnviz.imaging.pixels import to_pil_image

if TYPE_CHECKING:
    from torch import Tensor

_FRAME = "#ffcc00"


def gradient_image(
    gradient: Tensor, percentile: float, size: tuple[int, int], channels: Channels | None = None
) -> Image.Image:
    """A gradient in color about mid-gray.

    Args:
        gradient: (C, H, W), of any range.
        percentile: magnitudes above this percentile, in (0, 100], are clipped.
        size: width and height of the image.
        channels: the channels to show of a gradient of other than three.
    """
    values = select_channels(gradient.detach().cpu().float().numpy(), channels)
    top = scale_maximum(abs(values), percentile) or 1.0
    return to_pil_image(0.5 + 0.5 * values / top, clamp=True).resize(size, Image.Resampling.BICUBIC)


def gradient_in_window(
    gradient: Tensor, window: tuple[int, int, int, int], percentile: float, channels: Channels | None = None
) -> Image.Image:
    """A gradient within a window and mid-gray around it; its colors are full within the window.

    Args:
        gradient: (C, H, W), of any range.
        window: top, left, bottom, right in pixels; it may extend beyond the border.
        percentile: magnitudes above this percentile of those in the window are clipped.
        channels: the channels to show of a gradient of other than three.
    """
    top, left, bottom, right = (max(side, 0) for side in window)
    part = gradient[:, top:bottom, left:right]
    canvas = Image.new("RGB", (gradient.shape[2], gradient.shape[1]), (128, 128, 128))
    canvas.paste(gradient_image(part, percentile, (part.shape[2], part.shape[1]), channels), (left, top))
    return canvas


def guided_panel(
    photo: Image.Image, gradient: Image.Image, caption: str, title: str, photo_caption: str = "photo"
) -> Image.Image:
    """The photo beside its gradient image, the method's name under the latter."""
    return panel([photo, gradient], captions=[photo_caption, caption], title=title)


def outline_window(photo: Image.Image, window: tuple[int, int, int, int], size: tuple[int, int]) -> Image.Image:
    """The photo with a frame around a window, clipped at the border.

    Args:
        photo: of any size.
        window: top, left, bottom, right in pixels of the network's input.
        size: height and width of the network's input.
    """
    top, left, bottom, right = window
    height, width = size
    across, down = photo.width / width, photo.height / height
    box = (max(left, 0) * across, max(top, 0) * down, min(right, width) * across - 1, min(bottom, height) * down - 1)
    outlined = photo.copy()
    ImageDraw.Draw(outlined).rectangle(box, outline=_FRAME, width=max(2, outlined.height // 150))
    return outlined
