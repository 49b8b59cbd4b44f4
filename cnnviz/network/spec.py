"""A network's input (size, channels, normalization) and the origin of its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cnnviz.errors import Remark, UsageError
from cnnviz.imaging.pixels import Crop
from cnnviz.network.catalogue import IMAGENET_MEAN, IMAGENET_STD


@dataclass(frozen=True)
class CheckpointInfo:
    """What was found in a file of weights, and what was assumed of it.

    Args:
        key: the keys and the prefix of names under which the network was; empty for a bare state dict.
        head: the layers of a classifier that was rebuilt from its tensors, in words; empty for the architecture's own.
        head_activation: the activation assumed between them; None where there is nothing to assume.
        labels_key: the key under which the file holds the class names that are used; None if it has none.
        lacks_classifier: the classifier's name, where the file holds none; empty where it does.
        remarks: what the user should know.
    """

    key: str = ""
    head: str = ""
    head_activation: str | None = None
    labels_key: str | None = None
    lacks_classifier: str = ""
    remarks: tuple[Remark, ...] = ()

    @property
    def facts(self) -> dict[str, str]:
        """What is to be said of it in results and recipes, by name."""
        found = {
            "key": self.key,
            "head": self.head,
            "head_activation": self.head_activation,
            "labels_from": self.labels_key,
            "lacks_classifier": self.lacks_classifier,
        }
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True)
class WeightsInfo:
    """Where a network's weights came from.

    Args:
        label: a torchvision name, a file's name, ``embedded``, ``random`` or ``custom``.
        sha256: of the file; None for weights that are from no file.
        remark: what the user should know about them, if anything.
        transform_input: whether the module rescales its input (torchvision's ``transform_input``); None for networks
            that cannot.
        class_to_idx: the folders of the classes it was trained on, with the index of each, where the file tells; as
            torchvision's ``ImageFolder.class_to_idx``.
        code_sha256: of the Python file that built the module, if one did.
        checkpoint: what was found in a file of the user's; None for other weights.
    """

    label: str
    sha256: str | None = None
    remark: str | None = None
    transform_input: bool | None = None
    class_to_idx: Mapping[str, int] | None = None
    code_sha256: str | None = None
    checkpoint: CheckpointInfo | None = None

    @property
    def remarks(self) -> tuple[str, ...]:
        """All that the user should know about them."""
        return (*((self.remark,) if self.remark else ()), *(self.checkpoint.remarks if self.checkpoint else ()))

    @property
    def lacks_classifier(self) -> str:
        """The classifier's name, where a file of weights holds none; empty where there is one."""
        return self.checkpoint.lacks_classifier if self.checkpoint else ""

    @property
    def checkpoint_facts(self) -> dict[str, dict[str, str]]:
        """What results and recipes say of a file of weights, as their ``checkpoint``; empty if there is nothing."""
        facts = self.checkpoint.facts if self.checkpoint else {}
        return {"checkpoint": facts} if facts else {}


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
        input_range: what black and white are before the mean is subtracted: (0, 1), (0, 255), (-1, 1) …
        assumed: the names of what nobody gave and was assumed: ``size``, ``mean``, ``std``, ``input_range``; of
            networks that ``load_network`` loads also ``labels``.

    Raises:
        UsageError: values that do not fit each other.

    Example:
        >>> import cnnviz
        >>> spec = cnnviz.InputSpec(size=64, mean=(0.0,) * 3, std=(1.0,) * 3, input_range=(-1, 1))
        >>> spec.pixel_mean, spec.pixel_std
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    """

    size: int = 224
    resize: int | None = None
    min_size: int = 1
    fixed: bool = False
    channels: int = 3
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bilinear"
    input_range: tuple[float, float] = (0.0, 1.0)
    assumed: tuple[str, ...] = ()

    @property
    def pixel_mean(self) -> tuple[float, ...]:
        """The mean in units of pixels, where black is 0 and white is 1."""
        low, high = self.input_range
        return self.mean if (low, high) == (0, 1) else tuple((value - low) / (high - low) for value in self.mean)

    @property
    def pixel_std(self) -> tuple[float, ...]:
        """The standard deviation in units of pixels, where black is 0 and white is 1."""
        low, high = self.input_range
        return self.std if (low, high) == (0, 1) else tuple(value / (high - low) for value in self.std)

    @property
    def is_photo(self) -> bool:
        """Whether it is a photo, in color or gray."""
        return self.channels in (1, 3)

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
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise UsageError(f"The size of a network's images is a whole number of pixels, not {self.size!r}.")
        object.__setattr__(self, "input_range", _range(self.input_range))


def given_spec(
    spec: InputSpec | None = None,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: int | None = None,
    channels: int | None = None,
    input_range: tuple[float, float] | None = None,
) -> InputSpec:
    """The input that a network expects by what is given: ``spec``, and over it whatever else is not None.

    Without ``spec``, what is not given is assumed: 224 pixels, values from 0 to 1, and ImageNet's mean and std for RGB,
    no normalization for other channels. An input range that is given alone is the whole normalization.
    """
    given: dict[str, Any] = {"mean": mean, "std": std, "size": size, "input_range": input_range}
    given = {name: value for name, value in given.items() if value is not None}
    named = tuple(given)
    count = channels or (spec.channels if spec else 3)
    if "input_range" in given or (count != 3 if spec is None else count != spec.channels):
        given = {"mean": (0.0,) * count, "std": (1.0,) * count, **given}
    if size is not None and spec is not None and spec.resize is not None:
        given["resize"] = round(spec.resize * size / spec.size) if isinstance(size, int) and size > 0 else None
    known = named if "input_range" not in named else (*named, "mean", "std")
    before = ("size", "mean", "std", "input_range") if spec is None else spec.assumed
    assumed = tuple(name for name in before if name not in known)
    if spec is None:
        return InputSpec(channels=count, **given, assumed=assumed)
    return replace(spec, channels=count, **given, assumed=assumed)


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


def _range(given: object) -> tuple[float, float]:
    """Two finite numbers, the second larger than the first; UsageError for anything else."""
    try:
        low, high = (float(value) for value in given)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise UsageError(f"An input range is two numbers, as (0, 255), not {given!r}.") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"An input range goes from a number to a larger one, as (0, 255), not {given!r}.")
    return low, high
