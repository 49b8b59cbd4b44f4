"""What ``cnnviz style`` does with each photo: paint it once, or once for each value of a setting."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnviz.cli import console
from cnnviz.cli.command import current
from cnnviz.cli.idle import idle
from cnnviz.cli.options import PaintingOptions
from cnnviz.cli.painting import StyleFile, Sweep
from cnnviz.errors import UsageError
from cnnviz.pipeline.checkpoint import Checkpointer
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.pipeline.step_monitor import StepMonitor

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.imaging.pixels import Crop
    from cnnviz.network.network import Network
    from cnnviz.runtime.progress import Step
    from cnnviz.style.transfer import StyleTransfer

_LARGER = 512  # pixels, the size whose time is told


@dataclass
class Last:
    """An ``on_step`` that hands on to ``watch`` and keeps the last losses."""

    watch: StepMonitor
    terms: dict[str, float] = field(default_factory=dict)

    def __call__(self, step: Step) -> None:
        self.terms = dict(step.terms)
        self.watch(step)


@dataclass
class Painter:
    """Paints photo after photo in the same styles."""

    styles: list[StyleFile]
    masks: list[Path]
    style_masks: list[Path]
    init: str
    settings: dict[str, Any]
    input: PaintingOptions
    seed: int
    watch: StepMonitor
    resume: bool
    sweep: Sweep | None
    is_usual_size: bool = False
    _photos: dict[Path, Image] = field(default_factory=dict, init=False)

    def read(self) -> None:
        """Read the style pictures and all masks before any work is done for them, and wherever that is done."""
        from cnnviz.imaging.image_io import read_pil_image

        first = [] if self.init in ("content", "noise") else [Path(self.init)]
        for path in [*(style.path for style in self.styles), *self.masks, *self.style_masks, *first]:
            photo = read_pil_image(path, background=self.input.background, max_pixels=self.input.max_pixels)
            self._photos[path] = photo
        for path in (*self.masks, *self.style_masks):
            if self._photos[path].convert("L").getextrema()[1] == 0:
                raise UsageError(f"The mask '{path}' is black all over: it leaves nothing to paint.")

    def __call__(self, net: Network, picture: LoadedImage) -> Result:
        from cnnviz.imaging.pixels import to_pil_image

        if self.sweep is not None:
            return self._sheet(net, picture, self.sweep)
        transfer = self._transfer(net, picture)
        if console.shows_detail():
            console.detail(str(transfer.estimate()))
        settings = {**current.parameters(), "seed": self.seed, "size": list(picture.pixels.shape[2:])}
        last, started = Last(self.watch), time.perf_counter()
        side = min(picture.pixels.shape[2:])
        if self.is_usual_size:
            console.warn(f"Painting at {side} px, the shorter side; --size N sets it.")
        pixels = Checkpointer(self.watch, self.resume, settings).run(transfer, last)
        if self.is_usual_size and side < _LARGER and not self.resume:
            console.warn(_time_for_more(time.perf_counter() - started, side))
        facts = {**self._facts(picture, last.terms), "precision": net.precision}
        return Result(facts, to_pil_image(pixels, clamp=True), recipe={"precision": net.precision}, is_measured=True)

    def _transfer(self, net: Network, picture: LoadedImage, **changes: Any) -> StyleTransfer:
        from cnnviz.imaging.pixels import to_pixels
        from cnnviz.style.settings import StyleSettings
        from cnnviz.style.transfer import StyleTransfer

        settings = {**self.settings, **changes}
        if self.init not in ("content", "noise"):
            settings["init"] = to_pixels(self._photos[Path(self.init)])
        height, width = picture.pixels.shape[2:]
        crop = net.spec.crop.at(height) if self.input.crop else None
        transfer = StyleTransfer(
            net,
            picture.pixels,
            [to_pixels(self._photos[style.path]) for style in self.styles],
            [style.weight for style in self.styles],
            [mask_of(self._photos[path], (height, width), crop) for path in self.masks] or None,
            [mask_of(self._photos[path]) for path in self.style_masks] or None,
            StyleSettings(**settings),
            self.seed,
        )
        _tell_idle_here(net, transfer)
        return transfer

    def _sheet(self, net: Network, picture: LoadedImage, sweep: Sweep) -> Result:
        """The same photo painted with each value of a setting, side by side."""
        from cnnviz.figures.style import sweep_sheet
        from cnnviz.imaging.pixels import to_pil_image

        photos: list[Image] = []
        rows = []
        name = sweep.name.replace("_", " ")

        def sheet(begun: Image | None) -> Image:
            """What is finished, and what was begun if anything."""
            shown = [*photos, *([] if begun is None else [begun])]
            return sweep_sheet(shown, name, sweep.values, is_unfinished=begun is not None)

        self.watch.sheet = sheet
        for value in sweep.values:
            setting: float | int = int(value) if sweep.name == "steps" else value
            transfer, last = self._transfer(net, picture, **{sweep.name: setting}), Last(self.watch)
            photos.append(to_pil_image(transfer.run(last), clamp=True))
            rows.append({sweep.name: setting, **_rounded(last.terms)})
            for remark in transfer.remarks:
                console.warn(remark)
            self.watch.part_is_done(f"{name} {value:g}")
        facts = {**self._facts(picture, {}), "sweep": rows}
        return Result(facts, sheet(None))

    def _facts(self, picture: LoadedImage, terms: dict[str, float]) -> dict[str, Any]:
        height, width = picture.pixels.shape[2:]
        losses = {"losses": _rounded(terms)} if terms else {}
        return {"styles": [str(style) for style in self.styles], "width": width, "height": height, **losses}


def _tell_idle_here(net: Network, transfer: StyleTransfer) -> None:
    """Say which options have no effect on this network."""
    from cnnviz.network.network_transforms import has_max_pooling
    from cnnviz.style.smoothing import resnet_layer_scale

    idle("pooling", when=not has_max_pooling(net), why=f"on {net.name}, which takes no maxima")
    unscaled = all(resnet_layer_scale(layer) == 1 for layer in transfer.layer_weights)
    if transfer.settings.smoothing == "scaled":
        idle("smoothing", when=unscaled, why="as 'scaled' but on a ResNet's layer3 and layer4")


def _time_for_more(seconds: float, side: int) -> str:
    """What the painting took, and what twice the size would take by the number of pixels."""
    longer = seconds * (_LARGER / side) ** 2
    return f"It took {_span(seconds)} at {side} px; --size {_LARGER} would take about {_span(longer)} here."


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def mask_of(photo: Image, size: tuple[int, int] | None = None, crop: Crop | None = None) -> Tensor:
    """The lightness of a picture, (1, 1, H, W) in [0, 1], at (H, W), or of what a ``crop`` shows of it."""
    from cnnviz.imaging.pixels import to_pixels

    return (to_pixels(photo, crop=crop) if crop else to_pixels(photo, size)).mean(1, keepdim=True)


def _rounded(terms: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.6g}") for name, value in terms.items()}
