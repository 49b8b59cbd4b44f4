"""An image as a task gets it, and what a task makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.imaging.bands import Bands, Channels, Decoded
    from cnnviz.imaging.image_io import ByteChunks
    from cnnviz.imaging.pixels import Crop
    from cnnviz.pipeline.inputs import ImageSource


@dataclass
class LoadedImage:
    """An image: as it was read, as the network frames it, and the pixels that the network sees.

    ``original`` is upright sRGB at its own resolution, ``photo`` the same or, cropped, its central square; ``pixels``
    is (1, C, H, W) in [0, 1] at the network's size: ``to_pixels(original, size, crop)``. An image that is no photo has
    ``bands``, of which the pixels are made; ``original`` and ``photo`` then show those in ``channels``, as ``caption``
    says.
    """

    source: ImageSource
    original: Image
    photo: Image
    pixels: Tensor
    size: int | tuple[int, int]
    crop: Crop | bool
    bands: Bands | None = None
    caption: str = "photo"
    channels: Channels | None = None

    @property
    def decoded(self) -> Decoded:
        """The image with all its channels."""
        return self.bands or self.original


class WrittenElsewhereError(Exception):
    """Raised by a task in a process whose result another process writes."""


@dataclass
class Result:
    """What a task makes of one image.

    Attributes:
        metadata: what there is to know of it, all JSON-able.
        image: what is written: an image, a video's frames, a page's bytes; None for tasks that write nothing.
        arrays: the numbers that are written in place of ``image`` where the output is a .npy or .npz file.
        text: lines for people.
        target: the class's name, for ``{target}`` in output templates.
        recipe: what the recipe in the file tells besides what every recipe tells.
        sidecars: further files, written beside the image, by their suffix: their bytes, or images, which carry the
            recipe too.
        quality: of the image, where its format has one; the usual one if None.
        is_measured: whether the metadata tell what was measured of the image, which a lossy format changes.
        warnings: what people should know of it.
        unused: settings that have no effect on this image or network, by their names, and why.
    """

    metadata: dict[str, Any] = field(default_factory=dict)
    image: Image | list[Image] | bytes | ByteChunks | None = None
    text: Sequence[str] = ()
    target: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)
    sidecars: Mapping[str, bytes | Image] = field(default_factory=dict)
    quality: int | None = None
    is_measured: bool = False
    warnings: Sequence[str] = ()
    unused: Mapping[str, str] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
