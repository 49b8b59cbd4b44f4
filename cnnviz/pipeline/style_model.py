"""A trained style network in the place of a job's network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnviz.errors import ModelError

if TYPE_CHECKING:
    import torch

    from cnnviz.network.default_model import Purpose
    from cnnviz.network.spec import InputSpec, WeightsInfo
    from cnnviz.runtime.workload import Workload
    from cnnviz.style.fast import FastStyleNetwork

BUILT_IN = "embedded"
_BYTES_PER_PIXEL = 400
"""Memory that painting takes for each pixel seen at once, with the widths of the built-in styles: measured, rounded
up."""


def style_model_file(name: str) -> Path:
    """The path of a model's file by its name, ``embedded`` for the built-in styles; ModelError if there are none."""
    from cnnviz.style.model_file import BUILT_IN_STYLES

    if name != BUILT_IN:
        return Path(name)
    if not BUILT_IN_STYLES.exists():
        raise ModelError("This build has no built-in styles.", remedy="name_style_model")
    return BUILT_IN_STYLES


@dataclass
class StyleModelConfig:
    """Which trained style network (a file, or ``embedded``: the built-in styles), and where it computes."""

    style_model: str = BUILT_IN
    device: str = "auto"

    @property
    def file(self) -> Path:
        """The model's file."""
        return style_model_file(self.style_model)

    def prepare(self) -> None:
        """Nothing is ever downloaded."""

    def choose(self, purpose: Purpose) -> tuple[str, None]:
        """The model's name for outputs; ModelError if the file is missing or no style model."""
        from cnnviz.style.model_file import read_metadata

        read_metadata(self.file)
        return BUILT_IN if self.style_model == BUILT_IN else self.file.stem, None

    def load(self, name: str, seed: int, *, workload: Workload, progress: bool, side: int | None = None) -> Any:
        """The network, as a job needs it."""
        from cnnviz.network.hashing import sha256
        from cnnviz.network.spec import WeightsInfo
        from cnnviz.runtime.device import choose_device
        from cnnviz.style.model_file import load_fast_style

        device, file, is_built_in = choose_device(self.device), self.file, self.style_model == BUILT_IN
        weights = WeightsInfo(BUILT_IN if is_built_in else file.name, sha256(file))
        return FastStyleAdapter(load_fast_style(file, device), BUILT_IN if is_built_in else str(file), weights)


@dataclass
class FastStyleAdapter:
    """A trained style network with what a job asks of the network under study."""

    network: FastStyleNetwork
    name: str
    weights: WeightsInfo
    precision: str = "fp32"
    black_box: None = None
    derived_bytes: int = 0
    fast_conv_choice: bool | None = None

    @property
    def device(self) -> torch.device:
        return self.network.device

    @property
    def classes(self) -> int:
        return len(self.network.styles)

    @property
    def spec(self) -> InputSpec:
        from cnnviz.network.spec import InputSpec

        return InputSpec(min_size=16)

    def activation_count(self, size: tuple[int, int]) -> int:
        """Values of four bytes: larger images are painted in tiles, and take memory for photo and painting only."""
        from cnnviz.style.inference import LARGEST_WHOLE

        pixels = math.prod(size)
        return (min(pixels, LARGEST_WHOLE) * _BYTES_PER_PIXEL + pixels * 60) // 8
