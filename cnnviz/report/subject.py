"""An image that is explained from Python: a file, a PIL image or pixels, as the network and people see it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.imaging.bands import Bands, show, shown_channels
from cnnviz.imaging.checks import require_in_range
from cnnviz.imaging.color import parse_color, to_srgb
from cnnviz.imaging.pixels import from_pixels
from cnnviz.network.network import Network
from cnnviz.pipeline.config import InputConfig
from cnnviz.pipeline.image_loading import prepare_image, read_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.result import LoadedImage

ImageInput = str | PathLike[str] | Image.Image | Tensor
"""An image: a file, a PIL image, or pixels (1, C, H, W) in [0, 1]."""

_RGBA = 4


def load_subject(
    image: Any,
    network: Network,
    *,
    size: int | None = None,
    crop: bool = False,
    show_channels: str | Sequence[int] | None = None,
    name: str = "image",
) -> LoadedImage:
    """An image as the network sees it, and as figures show it.

    Args:
        image: a file, a PIL image, or pixels (1, C, H, W) in [0, 1], which are taken as they are.
        network: the network that it is shown to.
        size: of files and PIL images, the shorter side that the network sees; its own if None.
        crop: whether the network sees the central square of files and PIL images only.
        show_channels: the channels shown of an image that is no photo, see ``imaging.bands.shown_channels``.
        name: of an image that is no file.

    Raises:
        UsageError: another kind of image, or pixels of another shape, or outside [0, 1].
        ImageError: a file that cannot be read, or an image of other channels than the network takes.
    """
    channels = shown_channels(show_channels)
    config = InputConfig(size=size, crop=crop, show_channels=_text(channels))
    if isinstance(image, str | PathLike):
        return read_image(ImageSource(Path(image)), network, config)
    if isinstance(image, Image.Image):
        return prepare_image(ImageSource(None, label=name), _decoded(image, network), network, config)
    pixels = require_in_range(image, network.spec.channels)
    if len(pixels) != 1:
        raise UsageError(f"One image is shown at a time, pixels of the shape (1, C, H, W), not {len(pixels)} images.")
    network.require_size((pixels.shape[2], pixels.shape[3]))
    shown = show(from_pixels(pixels), None if network.spec.is_photo else channels)
    bands = None if network.spec.is_photo else Bands(pixels[0].detach().cpu().float().numpy())
    place, side = ImageSource(None, label=name), (pixels.shape[2], pixels.shape[3])
    return LoadedImage(place, shown.image, shown.image, pixels, side, False, bands, shown.caption, shown.channels)


def _text(channels: tuple[int, ...] | str | None) -> str | None:
    return ",".join(map(str, channels)) if isinstance(channels, tuple) else channels


def _decoded(image: Image.Image, network: Network) -> Image.Image | Bands:
    """A PIL image in sRGB; with its transparency where the network takes four channels."""
    if network.spec.channels == _RGBA and image.mode == "RGBA":
        return Bands.of_rgba(image)
    return to_srgb(image, parse_color("white"))


def each_image(images: Any) -> list[Any]:
    """The images of one image, of a batch of pixels (N, C, H, W), or of a list of them; UsageError for none."""
    if isinstance(images, Tensor) and images.ndim == 4:
        found = list(images.split(1))
    elif isinstance(images, Iterable) and not isinstance(images, str | PathLike | Tensor | np.ndarray):
        found = [each for some in images for each in each_image(some)]
    else:
        found = [images]
    if not found:
        raise UsageError("There are no images.")
    return found
