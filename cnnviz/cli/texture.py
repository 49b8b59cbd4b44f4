"""``cnnviz texture``: more of a texture, of any size."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli import console
from cnnviz.cli.command import command, current
from cnnviz.cli.idle import idle
from cnnviz.cli.jobs import image_job
from cnnviz.cli.options import (
    LARGEST_SIDE,
    BatchOptions,
    LongOptions,
    NetworkOptions,
    OutputOptions,
    SampleOptions,
    numbers,
    tile_side,
)
from cnnviz.cli.painter import Last
from cnnviz.cli.painting import StyleLossName
from cnnviz.errors import UsageError, shortened
from cnnviz.pipeline.checkpoint import Checkpointer
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.pipeline.step_monitor import StepMonitor
from cnnviz.synthesis.settings import EfrosLeungSettings, TextureSettings

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.network.network import Network


_DEFAULTS = TextureSettings()
_OF_FEATURES = (
    *("seamless", "layer", "layer_weights", "style_loss", "distribution_weight", "palette_weight"),
    *("steps", "scales", "pooling", "tile"),
)
"""Options of textures that are made by a network's features."""


class TextureMethod(str, Enum):
    """How textures are made."""

    gatys = "gatys"
    efros_leung = "efros-leung"


@dataclass
class Weaver:
    """Makes texture after texture."""

    method: TextureMethod
    size: str | None
    window: int
    settings: dict[str, Any]
    seed: int
    watch: StepMonitor
    resume: bool
    strip: bool

    def __call__(self, net: Network, picture: LoadedImage) -> Result:
        from cnnviz.imaging.pixels import to_pil_image

        size = parse_size(self.size, (picture.pixels.shape[2], picture.pixels.shape[3]))
        if self.strip:
            return self._strip(net, picture.pixels, size)
        last = Last(self.watch)
        if self.method is TextureMethod.efros_leung:
            from cnnviz.synthesis.efros_leung import efros_leung_texture

            made = efros_leung_texture(picture.pixels, size, window=self.window, seed=self.seed, on_step=last)
            return Result(_facts(size), to_pil_image(made, clamp=True))
        made = self._run(net, picture.pixels, size, last)
        precision = {"precision": net.precision}
        return Result(
            {**_facts(size, last), **precision}, to_pil_image(made, clamp=True), recipe=precision, is_measured=True
        )

    def _run(self, net: Network, sample: Tensor, size: tuple[int, int], last: Last) -> Tensor:
        from cnnviz.network.network_transforms import has_max_pooling
        from cnnviz.synthesis.texture import TextureSynthesis

        idle("pooling", when=not has_max_pooling(net), why=f"on {net.name}, which takes no maxima")
        synthesis = TextureSynthesis(net, sample, size, TextureSettings(**self.settings), self.seed)
        if console.shows_detail():
            console.detail(str(synthesis.estimate()))
        settings = {**current.parameters(), "seed": self.seed, "sample": list(sample.shape[2:]), "size": list(size)}
        return Checkpointer(self.watch, self.resume, settings).run(synthesis, last)

    def _strip(self, net: Network, sample: Tensor, size: tuple[int, int]) -> Result:
        """The texture that the first layer sees, the first two, and so on, beside the sample."""
        from cnnviz.figures.texture import texture_strip
        from cnnviz.imaging.pixels import to_pil_image
        from cnnviz.network.default_layers import style_layers
        from cnnviz.synthesis.texture import TextureSynthesis

        layers = list(self.settings["layers"] or style_layers(net).style)
        weights = self.settings["layer_weights"]
        textures: list[Image] = []

        def sheet(begun: Image | None) -> Image:
            """What is finished, and what was begun if anything."""
            shown = [*textures, *([] if begun is None else [begun])]
            return texture_strip(to_pil_image(sample), shown, layers, size[0], is_unfinished=begun is not None)

        self.watch.sheet = sheet
        for count in range(1, len(layers) + 1):
            some = {"layers": layers[:count], "layer_weights": weights[:count] if weights else None}
            settings = TextureSettings(**{**self.settings, **some})
            textures.append(to_pil_image(TextureSynthesis(net, sample, size, settings, self.seed).run(self.watch)))
            self.watch.part_is_done(f"up to {layers[count - 1]}")
        return Result({"layers": layers, **_facts(size)}, sheet(None))


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @command(
        app,
        "texture",
        examples="cnnviz texture sample_images/gravel.png\n"
        "cnnviz texture sample_images/mosaic.jpg --size 512x384 -o tile.png\n"
        "cnnviz texture sample_images/brick.png --strip\n"
        "cnnviz texture sample_images/brick.png --sample-size 64 --size 128 --method efros-leung",
    )
    def texture(
        network: NetworkOptions,
        input: SampleOptions,
        output: OutputOptions,
        long: LongOptions,
        run: BatchOptions,
        method: Annotated[
            TextureMethod, typer.Option("--method", help="By the network's features, or pixel by pixel.")
        ] = TextureMethod.gatys,
        seamless: Annotated[
            bool, typer.Option("--seamless/--no-seamless", help="Opposite borders fit, so that the picture tiles.")
        ] = _DEFAULTS.seamless,
        strip: Annotated[bool, typer.Option("--strip", help="Show what each layer adds, shallow to deep.")] = False,
        layer: Annotated[
            list[str] | None,
            typer.Option("--layer", "-l", help="May be given again.", show_default="the network's style layers"),
        ] = None,
        layer_weights: Annotated[
            str | None, typer.Option("--layer-weights", help="One for each layer.", metavar="W,W,…")
        ] = None,
        style_loss: Annotated[
            StyleLossName, typer.Option("--style-loss", help="How textures are compared.")
        ] = StyleLossName.gram,
        distribution_weight: Annotated[
            float, typer.Option("--distribution-weight", min=0, help="How even it is; 0 is Gatys' loss alone.")
        ] = _DEFAULTS.distribution_weight,
        palette_weight: Annotated[
            float, typer.Option("--palette-weight", min=0, help="How closely the colours are the sample's.")
        ] = _DEFAULTS.palette_weight,
        steps: Annotated[
            int, typer.Option("--steps", min=1, help="Passes through the network, over all sizes.")
        ] = _DEFAULTS.steps,
        scales: Annotated[
            int, typer.Option("--scales", min=1, help="Sizes painted at, each twice the last.")
        ] = _DEFAULTS.scales,
        window: Annotated[
            int, typer.Option("--window", min=3, help="Efros-Leung: side of the neighbourhood, odd.")
        ] = EfrosLeungSettings().window,
        pooling: Annotated[
            str, typer.Option("--pooling", help="'average' leaves less noise; 'max' is the network's own.")
        ] = _DEFAULTS.pooling,
        resume: Annotated[
            bool, typer.Option("--resume", help="Go on from where an interrupted run stopped, optimiser and all.")
        ] = False,
    ) -> None:
        """Make more of a texture, of any size (Gatys et al. 2015; Efros & Leung 1999)."""
        if pooling not in ("average", "max"):
            raise UsageError(f"There is no pooling '{pooling}'; there are average and max.")
        if method is TextureMethod.efros_leung and (strip or resume):
            raise UsageError("--strip and --resume are not for --method efros-leung.")
        if strip and resume:
            raise UsageError("A --strip cannot be gone on with; leave out --resume.")
        parse_size(input.size, (1, 1))
        if method is TextureMethod.efros_leung:
            idle(*_OF_FEATURES, why="with --method efros-leung")
        idle("window", when=method is not TextureMethod.efros_leung, why="without --method efros-leung")
        settings = {
            "layers": layer,
            "layer_weights": numbers(layer_weights, "--layer-weights"),
            "style_loss": style_loss.value,
            "distribution_weight": distribution_weight,
            "palette_weight": palette_weight,
            "steps": steps,
            "scales": scales,
            "seamless": seamless,
            "pooling": pooling,
            "tile": tile_side(input.tile),
        }
        current.values["resume"] = False  # how it came about is no part of the recipe
        output.skip_existing = output.skip_existing or resume
        watch = StepMonitor(long, resume=resume)
        weaver = Weaver(method, input.size, window, settings, run.seed, watch, resume, strip)
        image_job("texture", network, input, run, output, monitor=watch)(weaver)


def parse_size(text: str | None, default: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of ``512`` or ``768x512`` (width first, as everybody writes it); ``default`` for None."""
    if text is None:
        return default
    found = re.fullmatch(r"([0-9]{1,12})(?:[x×]([0-9]{1,12}))?", text.strip())
    width, height = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= min(width, height) <= max(width, height) <= LARGEST_SIDE:
        raise UsageError(f"--size takes a side in pixels or WIDTHxHEIGHT, as in 768x512, not '{shortened(text)}'.")
    return height, width


def _facts(size: tuple[int, int], last: Last | None = None) -> dict[str, Any]:
    losses = {"losses": {k: float(f"{v:.6g}") for k, v in last.terms.items()}} if last and last.terms else {}
    return {"width": size[1], "height": size[0], **losses}
