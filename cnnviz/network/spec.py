"""A network's input (size, channels, normalization) and the origin of its weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cnnviz.errors import UsageError
from cnnviz.imaging.pixels import Crop
from cnnviz.network.catalogue import IMAGENET_MEAN, IMAGENET_STD


@dataclass(frozen=True)
class WeightsInfo:
    """Where a network's weights came from.

    Args:
        label: a torchvision name, a file's name, ``embedded``, ``random`` or ``custom``.
        sha256: of the file; None for weights that are from no file.
        remark: what the user should know about them, if anything.
        transform_input: whether the module rescales its input (torchvision's ``transform_input``); None for networks
            that cannot.
    """

    label: str
    sha256: str | None = None
    remark: str | None = None
    transform_input: bool | None = None


@dataclass(frozen=True)
class InputSpec:
    """The input that a network expects.

    Args:
        size: side of the square crop it was trained with, in pixels.
        resize: length of the shorter side before the crop; ``size * 256 / 224`` if None.
        min_size: the smallest side that it takes.
        fixed: whether it takes images of ``size`` × ``size`` only.
        channels: 3 for RGB, 1 for gray images, or any other number, as of a satellite's bands.
        mean, std: of the normalization it was trained with, one number for each channel.
        interpolation: how images are resized before the crop: ``bilinear`` or ``bicubic``.

    Raises:
        UsageError: values that do not fit each other.
    """

    size: int = 224
    resize: int | None = None
    min_size: int = 1
    fixed: bool = False
    channels: int = 3
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bilinear"

    @property
    def crop(self) -> Crop:
        """The resizing and cropping of images to ``size`` × ``size``."""
        return Crop(self.size, self.resize or Crop().at(self.size).resize, self.interpolation)

    def __post_init__(self) -> None:
        if isinstance(self.channels, bool) or not isinstance(self.channels, int) or self.channels < 1:
            raise UsageError(f"A network takes a whole number of channels, 3 for RGB, not {self.channels!r}.")
        for name in ("mean", "std"):
            object.__setattr__(self, name, _numbers(name, getattr(self, name), self.channels))
        if min(self.std) <= 0:
            raise UsageError(f"The std of a normalization must be positive, not {min(self.std):g}.")


def _numbers(name: str, given: object, channels: int) -> tuple[float, ...]:
    """The mean or std as a tuple; UsageError unless it has one finite number for each channel."""
    try:
        found = tuple(float(value) for value in given)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise UsageError(f"The {name} must be numbers, one for each channel, not {given!r}.") from None
    if len(found) != channels or not all(map(math.isfinite, found)):
        needed = "one finite number, as (0.5,)" if channels == 1 else f"{channels} finite numbers"
        raise UsageError(f"With channels={channels} the {name} needs {needed}, not {found}.")
    return found
