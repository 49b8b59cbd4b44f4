"""What is chosen from, and typed, when paintings are asked for: names of options, ``starry.jpg:2``, ``--sweep``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from cnnviz.cli.options import numbers, real
from cnnviz.errors import UsageError, shortened
from cnnviz.runtime.paths import is_file

_SWEPT = (
    *("content_weight", "style_weight", "palette_weight", "tv_weight", "lightness_weight"),
    *("style_scale", "learning_rate", "steps"),
)


class StyleLossName(str, Enum):
    """How textures are compared."""

    gram = "gram"
    covariance = "covariance"
    wasserstein = "wasserstein"


class OptimizerName(str, Enum):
    """What moves the pixels."""

    lbfgs = "lbfgs"
    adam = "adam"


class ContentTarget(str, Enum):
    """Which features of the photo are kept."""

    restyled = "restyled"
    photo = "photo"


class Pooling(str, Enum):
    """What is made of the network's maxima."""

    average = "average"
    rescaled = "rescaled"
    max = "max"


class Smoothing(str, Enum):
    """How the features of residual networks are smoothed."""

    none = "none"
    softmax = "softmax"
    scaled = "scaled"


class KeepColor(str, Enum):
    """How the photo's own colours are kept."""

    none = "none"
    luminance = "luminance"
    covariance = "covariance"


@dataclass(frozen=True)
class StyleFile:
    """A style picture and what it counts for, as typed: ``starry.jpg:2``."""

    path: Path
    weight: float = 1.0

    @classmethod
    def parse(cls, text: str) -> StyleFile:
        name, colon, weight = text.rpartition(":")
        if not colon or is_file(text):
            return cls(Path(text))
        value = real(weight)
        if value is None:
            if is_file(name):
                raise UsageError(f"'{shortened(weight)}' is no weight for the style '{name}'; give a number, as 2.")
            return cls(Path(text))
        return cls(Path(name), value)

    @property
    def named(self) -> str:
        """What is typed for it."""
        return str(self.path) if self.weight == 1 else f"{self.path}:{self.weight:g}"

    def __str__(self) -> str:
        return self.path.name if self.weight == 1 else f"{self.path.name}:{self.weight:g}"


@dataclass(frozen=True)
class Sweep:
    """One setting and the values it is tried with."""

    name: str
    values: tuple[float, ...]

    @classmethod
    def parse(cls, text: str) -> Sweep:
        name, equals, values = text.partition("=")
        key = name.strip().replace("-", "_")
        if not equals or key not in _SWEPT:
            known = ", ".join(option.replace("_", "-") for option in _SWEPT)
            raise UsageError(f"--sweep takes NAME=VALUE,VALUE…, as in style-weight=0.1,1,10; NAME is one of {known}.")
        return cls(key, tuple(numbers(values, "--sweep") or ()))
