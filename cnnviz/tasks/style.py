"""Paints photos in the style of other images."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cnnviz.errors import Remark, UsageError
from cnnviz.pipeline.config import numbers
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.settings import setting
from cnnviz.style.settings import StyleSettings
from cnnviz.tasks.shared.multiscale import MultiscaleTask

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.network.network import Network
    from cnnviz.pipeline.reporter import Reporter
    from cnnviz.pipeline.step_monitor import StepMonitor
    from cnnviz.style.transfer import StyleTransfer

DEFAULT_SIDES = {"cpu": 256, "cuda": 512}
"""Pixels of the shorter side of a painting, where no size is given: by the kind of device alone, never by a clock."""

LARGER_SIDE = 512
"""Pixels of the shorter side whose time is told where a smaller painting was made without being asked for."""

_SWEPT = (
    *("content_weight", "style_weight", "palette_weight", "tv_weight", "lightness_weight"),
    *("style_scale", "learning_rate", "steps"),
)


@dataclass(frozen=True)
class NamedImage:
    """An image that a task needs besides those it is run over: read already, so that it travels with the task."""

    name: str
    image: Image


@dataclass(frozen=True)
class StyleImage(NamedImage):
    """A style image and its weight among the others."""

    weight: float = 1.0

    @property
    def label(self) -> str:
        """The name, and the weight where it is not 1: ``starry.jpg:2``."""
        return self.name if self.weight == 1 else f"{self.name}:{self.weight:g}"


@dataclass(frozen=True)
class Sweep:
    """One setting and the values it is tried with."""

    name: str
    values: tuple[float, ...]

    @classmethod
    def parse(cls, text: str) -> Sweep:
        """The sweep that ``style-weight=0.1,1,10`` means; UsageError for anything else."""
        name, equals, values = text.partition("=")
        key = name.strip().replace("-", "_")
        if not equals or key not in _SWEPT:
            known = ", ".join(setting.replace("_", "-") for setting in _SWEPT)
            raise UsageError(f"A sweep is NAME=VALUE,VALUE…, as in style-weight=0.1,1,10; NAME is one of {known}.")
        return cls(key, tuple(numbers(values, "A sweep") or ()))

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")

    def value_of(self, value: float) -> float | int:
        """A value as the setting takes it."""
        return int(value) if self.name == "steps" else value


@dataclass(frozen=True)
class Style(MultiscaleTask):
    """Each photo painted in the style of other images, or a sheet of paintings with several values of one setting.

    Attributes:
        styles: the style images, at least one.
        masks: white where to paint: none, one for all styles, or one for each.
        style_masks: white in the part of a style that is used: none, or one for each.
        init: the initial image, where it is neither content nor noise.
        is_default_size: whether nobody chose the size, so that the result says what a larger one takes.
    """

    styles: tuple[StyleImage, ...] = ()
    masks: tuple[NamedImage, ...] = ()
    style_masks: tuple[NamedImage, ...] = ()
    init: NamedImage | None = None
    settings: StyleSettings = field(default=StyleSettings())
    sweep: str | None = setting(None, "A sheet of paintings with several values of one setting.", metavar="NAME=V,V,…")
    is_default_size: bool = False
    seed: int = 0

    @property
    def swept(self) -> Sweep | None:
        return None if self.sweep is None else Sweep.parse(self.sweep)

    def run(self, network: Network, image: LoadedImage, monitor: StepMonitor) -> Result:
        if self.swept is not None:
            return self._sheet(network, image, monitor, self.swept)
        transfer = self._transfer(network, image, self.settings)
        _note_unused(network, transfer, monitor.reporter)
        height, width = transfer.size
        side, started = min(transfer.size), time.perf_counter()
        if self.is_default_size:
            monitor.reporter.warn(Remark(f"Painting at {side} px, the shorter side.", remedy="painting_size"))
        result = self.optimize(network, transfer, monitor, self._metadata(image), size=[height, width])
        if self.is_default_size and side < LARGER_SIDE and not monitor.config.resume:
            result.warnings = [time_at_larger_side(time.perf_counter() - started, side)]
        return result

    def _sheet(self, network: Network, image: LoadedImage, monitor: StepMonitor, sweep: Sweep) -> Result:
        """The same photo painted with each value of a setting, side by side."""
        from cnnviz.figures.style import sweep_sheet

        def runs() -> Iterator[tuple[str, StyleTransfer]]:
            for value in sweep.values:
                settings = replace(self.settings, **{sweep.name: sweep.value_of(value)})  # type: ignore[arg-type]
                transfer = self._transfer(network, image, settings)
                _note_unused(network, transfer, monitor.reporter)
                yield f"{sweep.title} {value:g}", transfer

        def sheet(paintings: Any, is_unfinished: bool) -> Image:
            return sweep_sheet(paintings, sweep.title, sweep.values, is_unfinished=is_unfinished)

        drawn, losses = self.optimize_each(runs(), sheet, monitor)
        rows = [{sweep.name: sweep.value_of(value), **terms} for value, terms in zip(sweep.values, losses, strict=True)]
        return Result({**self._metadata(image), "sweep": rows}, drawn)

    def _transfer(self, network: Network, image: LoadedImage, settings: StyleSettings) -> StyleTransfer:
        from cnnviz.imaging.pixels import to_pixels
        from cnnviz.style.transfer import StyleTransfer

        if self.init is not None:
            settings = replace(settings, init=to_pixels(self.init.image))
        return StyleTransfer(
            network,
            image.pixels,
            [to_pixels(style.image) for style in self.styles],
            [style.weight for style in self.styles],
            [_framed_mask(mask.image, image) for mask in self.masks] or None,
            [_lightness(to_pixels(mask.image)) for mask in self.style_masks] or None,
            settings,
            self.seed,
        )

    def _metadata(self, image: LoadedImage) -> dict[str, Any]:
        height, width = image.pixels.shape[2:]
        return {"styles": [style.label for style in self.styles], "width": width, "height": height}


def default_side(device: str) -> int:
    """Pixels of the shorter side of a painting on this kind of device, where no size is given."""
    return DEFAULT_SIDES.get(device, DEFAULT_SIDES["cpu"])


def time_at_larger_side(seconds: float, side: int) -> Remark:
    """What a painting took, and what ``LARGER_SIDE`` would take by the number of pixels."""
    longer = seconds * (LARGER_SIDE / side) ** 2
    text = f"It took {_duration(seconds)} at {side} px; {LARGER_SIDE} px would take about {_duration(longer)} here."
    return Remark(text, remedy="larger_painting", size=LARGER_SIDE)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _framed_mask(mask: Image, photo: LoadedImage) -> Tensor:
    """A mask of what the network sees of the photo, (1, 1, H, W) in [0, 1]."""
    from cnnviz.imaging.pixels import to_pixels

    height, width = photo.pixels.shape[2:]
    size = photo.size if photo.crop else (height, width)
    return _lightness(to_pixels(mask, size, photo.crop))


def _lightness(pixels: Tensor) -> Tensor:
    return pixels.mean(1, keepdim=True)


def _note_unused(network: Network, transfer: StyleTransfer, reporter: Reporter) -> None:
    """Report the settings that have no effect on this network."""
    from cnnviz.network.network_transforms import has_max_pooling
    from cnnviz.style.smoothing import resnet_layer_scale

    if not has_max_pooling(network):
        reporter.unused("pooling", why=f"on {network.name}, which has no max pooling")
    unscaled = all(resnet_layer_scale(layer) == 1 for layer in transfer.layer_weights)
    if transfer.settings.smoothing == "scaled" and unscaled:
        reporter.unused("smoothing", why="as 'scaled' but on a ResNet's layer3 and layer4")
