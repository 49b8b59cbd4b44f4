"""What is known of a network beside its layers: the pictures it takes, and where its weights came from."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cnnviz.errors import UsageError
from cnnviz.imaging.pixels import Crop
from cnnviz.network.catalogue import IMAGENET_MEAN, IMAGENET_STD


@dataclass(frozen=True)
class WeightsInfo:
    """Where a network's weights came from: a label to show (a torchvision name, a file's name, ``embedded``,
    ``random``), the SHA-256 of the file (None for random ones), a remark for the user if there is one, and whether the
    module rescales its input (torchvision's ``transform_input``; None for networks that never do)."""

    label: str
    sha256: str | None = None
    remark: str | None = None
    transform_input: bool | None = None


@dataclass(frozen=True)
class InputSpec:
    """What a network wants to see.

    ``size``: the side of the square crop it was trained on (pixels); ``min_size``: the smallest side it can take;
    ``fixed``: whether it takes exactly ``size`` × ``size`` only; ``resize``: the shorter side before the crop, if not
    ``size * 256 / 224``; ``channels``: 3, or 1 for gray; ``mean`` and ``std``: of the normalization it was trained
    with, a number for each channel; ``interpolation``: how pictures are resized before the crop, ``bilinear`` or
    ``bicubic``. Raises UsageError where they do not fit each other.
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
        """How the pictures of its evaluation were brought to ``size`` × ``size``."""
        return Crop(self.size, self.resize or Crop().at(self.size).resize, self.interpolation)

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise UsageError(f"A network of photos takes 3 channels, or 1 of gray ones, not {self.channels}.")
        for name in ("mean", "std"):
            object.__setattr__(self, name, _numbers(name, getattr(self, name), self.channels))
        if min(self.std) <= 0:
            raise UsageError(f"The std of a normalization must be positive, not {min(self.std):g}.")


def _numbers(name: str, given: object, channels: int) -> tuple[float, ...]:
    """The mean or std of an InputSpec as a tuple, having made sure that there is one for each channel."""
    try:
        found = tuple(float(value) for value in given)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise UsageError(f"The {name} must be numbers, one for each channel, not {given!r}.") from None
    if len(found) != channels or not all(map(math.isfinite, found)):
        needed = "one finite number, as (0.5,)" if channels == 1 else f"{channels} finite numbers"
        raise UsageError(f"With channels={channels} the {name} needs {needed}, not {found}.")
    return found
