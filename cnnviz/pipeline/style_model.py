"""Trained style networks, used as the network of a job."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnviz.errors import ModelError
from cnnviz.style.catalogue import ANY, MODELS

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from cnnviz.network.default_model import Purpose
    from cnnviz.network.spec import InputSpec, WeightsInfo
    from cnnviz.runtime.workload import Workload
    from cnnviz.style.any_style import AnyStyleNetwork
    from cnnviz.style.fast import FastStyleNetwork

AUTO = "auto"
_BYTES_PER_PIXEL = 400
"""Memory that painting takes for each pixel seen at once, with the widths of the built-in styles: measured, rounded
up."""


def style_model_file(name: str) -> Path:
    """The path of a model's file by its name, as ``embedded``; ModelError if this build is without it."""
    if name not in MODELS:
        return Path(name)
    file = MODELS[name].file
    if not file.exists():
        raise ModelError(f"This build is without the style model '{name}'.", remedy="name_style_model")
    return file


@dataclass
class StyleModelConfig:
    """Which trained style network, and where it computes.

    ``style_model`` is a file, one of those that come with cnnviz (``embedded``, ``styles26``, ``any``), or ``auto``:
    whichever of these has the style.
    """

    style_model: str = AUTO
    device: str = "auto"

    @property
    def files(self) -> list[Path]:
        """The files of the models."""
        names = list(MODELS) if self.style_model == AUTO else [self.style_model]
        return [style_model_file(name) for name in names]

    def prepare(self) -> None:
        """Nothing is ever downloaded."""

    def choose(self, purpose: Purpose) -> tuple[str, None]:
        """The model's name for outputs; ModelError if the file is missing or no style model."""
        known_styles(self.style_model)
        named = self.style_model in MODELS or self.style_model == AUTO
        return self.style_model if named else Path(self.style_model).stem, None

    def load(self, name: str, seed: int, *, workload: Workload, progress: bool, side: int | None = None) -> Any:
        """The networks, as a job needs them; each is read when it is first asked for."""
        from cnnviz.network.hashing import sha256
        from cnnviz.network.spec import WeightsInfo
        from cnnviz.runtime.device import choose_device

        files, named = self.files, self.style_model in MODELS or self.style_model == AUTO
        label = self.style_model if named else files[0].name
        adapter = FastStyleAdapter(
            self.style_model, choose_device(self.device), WeightsInfo(label, " ".join(map(sha256, files)))
        )
        if self.style_model not in (AUTO, ANY):
            adapter.network_of(self.style_model)  # a damaged file is an error before any work
        return adapter


def known_styles(model: str) -> Sequence[str] | None:
    """The names of a model's styles; none for the one that takes any image, None for ``auto``.

    Raises:
        ModelError: there is no such file, or it is no fast style model.
    """
    from cnnviz.style.model_file import read_metadata

    if model == AUTO:
        return None
    if model in MODELS:
        return list(MODELS[model].styles)
    styles: list[str] = read_metadata(Path(model))["styles"]
    return styles


@dataclass
class FastStyleAdapter:
    """Style networks with the interface that a job expects of its network; ``name`` is a model's or ``auto``."""

    name: str
    device: torch.device
    weights: WeightsInfo
    precision: str = "fp32"
    black_box: None = None
    derived_bytes: int = 0
    fast_conv_choice: bool | None = None
    _networks: dict[str, FastStyleNetwork] = field(default_factory=dict, repr=False)
    _any: AnyStyleNetwork | None = field(default=None, repr=False)
    _vectors: dict[tuple[int, int], tuple[Image, Any]] = field(default_factory=dict, repr=False)

    def network_of(self, model: str) -> FastStyleNetwork:
        """The network of a model with styles of its own."""
        from cnnviz.style.model_file import load_fast_style

        if model not in self._networks:
            self._networks[model] = load_fast_style(style_model_file(model), self.device)
        return self._networks[model]

    @property
    def any_style(self) -> AnyStyleNetwork:
        """The network that takes any image as a style."""
        from cnnviz.style.model_file import load_any_style

        if self._any is None:
            self._any = load_any_style(self.device)
        return self._any

    def style_vector(self, image: Image, size: int) -> torch.Tensor:
        """The style vector of an image, computed once for all photos and frames."""
        from cnnviz.imaging.pixels import to_pixels

        key = id(image), size
        if key not in self._vectors:
            self._vectors[key] = image, self.any_style.style_vector(to_pixels(image), size)
        vector: torch.Tensor = self._vectors[key][1]
        return vector

    @property
    def classes(self) -> int:
        """How many styles there are."""
        known = known_styles(self.name)
        return sum(len(model.styles) for model in MODELS.values()) if known is None else len(known)

    @property
    def spec(self) -> InputSpec:
        from cnnviz.network.spec import InputSpec

        return InputSpec(min_size=16)

    def activation_count(self, size: tuple[int, int]) -> int:
        """Values of four bytes: larger images are painted in tiles, and take memory for photo and painting only."""
        from cnnviz.style.inference import LARGEST_WHOLE

        pixels = math.prod(size)
        return (min(pixels, LARGEST_WHOLE) * _BYTES_PER_PIXEL + pixels * 60) // 8
