"""Reads an image and brings it to the size that a network sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cnnviz.errors import MemoryShortError
from cnnviz.pipeline.config import ImageConfig
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.result import LoadedImage

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.imaging.bands import Decoded
    from cnnviz.network.network import Network


def read_image(source: ImageSource, network: Network, options: ImageConfig) -> LoadedImage:
    """One image, read and brought to the size that ``network`` sees; ImageError or MemoryShortError if it cannot."""
    from cnnviz.imaging.decoding import read_decoded

    channels, background = network.spec.channels, options.background
    try:
        decoded = read_decoded(source.content(), channels, background=background, max_pixels=options.max_pixels)
        return prepare_image(source, decoded, network, options)
    except MemoryError as error:
        if isinstance(error, MemoryShortError):
            raise
        raise MemoryShortError(f"{source.display} is too large for this machine's memory.") from error


def image_reader(network: Network, options: ImageConfig) -> Callable[[ImageSource], tuple[Image, Tensor]]:
    """A function that reads an image, as ``build_index`` takes it: the photo, and the pixels that ``network`` sees."""

    def read(source: ImageSource) -> tuple[Image, Tensor]:
        image = read_image(source, network, options)
        return image.photo, image.pixels

    return read


def prepare_image(source: ImageSource, decoded: Decoded, network: Network, options: ImageConfig) -> LoadedImage:
    """An image at the size that ``network`` sees.

    ImageError if it has other channels than the network takes; MemoryShortError if it does not fit in memory.
    """
    from cnnviz.imaging.bands import Bands, fit_channels, show, shown_channels
    from cnnviz.imaging.pixels import center_square, resized_shape, to_pixels
    from cnnviz.runtime.memory import require_memory, require_memory_for_pixels

    spec, crop = network.spec, network.spec.crop if options.square else None
    fitted = fit_channels(decoded, spec.channels, f"'{source.display}'", network.name)
    shown = show(fitted, shown_channels(options.show_channels) if not spec.is_photo else None)
    size: int | tuple[int, int] = spec.size if spec.fixed else (options.size_of(shown.image) or spec.size)
    if spec.fixed and not crop:
        size = (spec.size, spec.size)
    height, width = resized_shape(fitted, size, crop or False)
    require_memory_for_pixels((height, width), network.device, spec.channels)
    shown_at_once = min(height, options.piece or height), min(width, options.piece or width)
    require_memory(network, shown_at_once, spec.channels)
    pixels = to_pixels(fitted, size, crop=crop or False)
    bands = decoded if isinstance(decoded, Bands) else None
    photo = center_square(shown.image, crop) if crop else shown.image
    return LoadedImage(source, shown.image, photo, pixels, size, crop or False, bands, shown.caption, shown.channels)
