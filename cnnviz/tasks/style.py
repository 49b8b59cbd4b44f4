"""Paints photos in the style of other images."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnviz.errors import Remark, UsageError
from cnnviz.pipeline.config import ImageConfig, numbers
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.settings import setting
from cnnviz.style.settings import INITIAL_IMAGES, StyleSettings
from cnnviz.tasks.shared.multiscale import MultiscaleTask
from cnnviz.tasks.shared.style_files import StyleFile, StyleImages, framed_mask, lightness, read_masks

if TYPE_CHECKING:
    from PIL.Image import Image

    from cnnviz.network.network import Network
    from cnnviz.pipeline.reporter import Reporter
    from cnnviz.pipeline.step_monitor import StepMonitor
    from cnnviz.style.transfer import StyleTransfer

DEFAULT_SIDES = {"cpu": 256, "cuda": 512}
"""Pixels of the shorter side of a painting, where no size is given: by the kind of device alone, never by a clock."""

LARGER_SIDE = 512
"""Pixels of the shorter side of the larger painting whose time is estimated when no size was given."""

_SWEPT = (
    *("content_weight", "style_weight", "palette_weight", "tv_weight", "lightness_weight"),
    *("style_scale", "learning_rate", "steps"),
)


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
        images: the images that the files named hold, once they are read.
        is_default_size: whether nobody chose the size, so that the result says what a larger one takes.
    """

    styles: tuple[str, ...] | None = setting(
        None,
        "Style image and its weight; may be repeated. All other images named are then contents.",
        names=("--style", "-S"),
        metavar="FILE[:WEIGHT]",
    )
    init: str | None = setting(
        None,
        "Begin with 'content', 'noise', or an image.",
        metavar="content|noise|FILE",
        show_default=StyleSettings.init,
    )
    masks: tuple[str, ...] | None = setting(
        None, "White where to paint; repeated: where each style goes.", names=("--mask",), metavar="FILE"
    )
    style_masks: tuple[str, ...] | None = setting(
        None,
        "White in the part of a style to use; one for each style.",
        names=("--style-mask",),
        metavar="FILE",
    )
    settings: StyleSettings = field(default=StyleSettings())
    sweep: str | None = setting(None, "A sheet of paintings with several values of one setting.", metavar="NAME=V,V,…")
    images: Any = field(default=None, compare=False, repr=False)
    is_default_size: bool = False
    seed: int = 0

    @property
    def style_files(self) -> list[StyleFile]:
        """The style images' files and weights."""
        return [StyleFile.parse(text) for text in self.styles or ()]

    def with_files(self) -> Style:
        return self if self.images is not None else self.with_files_read(ImageConfig())

    def with_files_read(self, config: ImageConfig) -> Style:
        """The task with the files that its settings name, read as images are by ``config``."""
        from cnnviz.imaging.decoding import read_pil_image

        def read(path: Path) -> Image:
            return read_pil_image(path, background=config.background, max_pixels=config.max_pixels)

        init = None if self.init in (None, *INITIAL_IMAGES) else read(Path(str(self.init)))
        files = self.style_files
        if not files:
            raise UsageError("A painting needs at least one style image.")
        styles = [read(style.path) for style in files]
        masks, style_masks = read_masks(self.masks, read), read_masks(self.style_masks, read)
        return replace(self, images=StyleImages(files, styles, masks, style_masks, init))

    @property
    def swept(self) -> Sweep | None:
        return None if self.sweep is None else Sweep.parse(self.sweep)

    def run(self, network: Network, image: LoadedImage, monitor: StepMonitor) -> Result:
        if self.images is None:
            return self.with_files().run(network, image, monitor)
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

        images: StyleImages = self.images
        if images.init is not None:
            settings = replace(settings, init=to_pixels(images.init))
        elif self.init is not None:
            settings = replace(settings, init=self.init)
        return StyleTransfer(
            network,
            image.pixels,
            [to_pixels(style) for style in images.styles],
            [style.weight for style in images.files],
            [framed_mask(mask, image) for mask in images.masks] or None,
            [lightness(to_pixels(mask)) for mask in images.style_masks] or None,
            settings,
            self.seed,
        )

    def _metadata(self, image: LoadedImage) -> dict[str, Any]:
        height, width = image.pixels.shape[2:]
        return {"styles": [style.label for style in self.images.files], "width": width, "height": height}


def default_side(device: str) -> int:
    """Pixels of the shorter side of a painting on this kind of device, where no size is given."""
    return DEFAULT_SIDES.get(device, DEFAULT_SIDES["cpu"])


def time_at_larger_side(seconds: float, side: int) -> Remark:
    """A remark on how long a painting took, and how long ``LARGER_SIDE`` would take by the number of pixels."""
    longer = seconds * (LARGER_SIDE / side) ** 2
    text = f"It took {_duration(seconds)} at {side} px; {LARGER_SIDE} px would take about {_duration(longer)} here."
    return Remark(text, remedy="larger_painting", size=LARGER_SIDE)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _note_unused(network: Network, transfer: StyleTransfer, reporter: Reporter) -> None:
    """Report the settings that have no effect on this network."""
    from cnnviz.network.network_transforms import has_max_pooling
    from cnnviz.style.smoothing import resnet_layer_scale

    if not has_max_pooling(network):
        reporter.unused("pooling", why=f"on {network.name}, which has no max pooling")
    unscaled = all(resnet_layer_scale(layer) == 1 for layer in transfer.layer_weights)
    if transfer.settings.smoothing == "scaled" and unscaled:
        reporter.unused("smoothing", why="as 'scaled' but on a ResNet's layer3 and layer4")
