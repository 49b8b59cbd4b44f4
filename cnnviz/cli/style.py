"""``cnnviz style``: photos painted in the style of other pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cnnviz.cli.command import command, current
from cnnviz.cli.idle import idle
from cnnviz.cli.jobs import image_job
from cnnviz.cli.options import (
    BatchOptions,
    LongOptions,
    NetworkOptions,
    OutputOptions,
    PaintingOptions,
    numbers,
    tile_side,
)
from cnnviz.cli.painter import Painter
from cnnviz.cli.painting import (
    ContentTarget,
    KeepColor,
    OptimizerName,
    Pooling,
    Smoothing,
    StyleFile,
    StyleLossName,
    Sweep,
)
from cnnviz.errors import UsageError
from cnnviz.pipeline.step_monitor import StepMonitor
from cnnviz.style.settings import StyleSettings

_DEFAULTS = StyleSettings()
_SIZES = {"cuda": 512}
_SIZE = 256
"""Pixels, the shorter side of a painting when nobody says so: by the device alone, never by a clock."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @command(
        app,
        "style",
        examples="cnnviz style sample_images/chelsea.png sample_images/starry.jpg\n"
        "cnnviz style photo.jpg starry.jpg:2 mosaic.jpg:1 --size 512 -o painted.jpg\n"
        "cnnviz style photos/ --style starry.jpg -o painted/\n"
        "cnnviz style photo.jpg ink.jpg --sweep content-weight=0.3,1,3 -o sheet.png",
    )
    def style(
        network: NetworkOptions,
        input: PaintingOptions,
        output: OutputOptions,
        long: LongOptions,
        run: BatchOptions,
        styles: Annotated[
            list[str] | None,
            typer.Option(
                "--style",
                "-S",
                help="Style picture and its weight; may be given again. All pictures named are contents then.",
                metavar="FILE[:WEIGHT]",
            ),
        ] = None,
        content_weight: Annotated[
            float, typer.Option("--content-weight", min=0, help="How much of the photo is kept.")
        ] = _DEFAULTS.content_weight,
        style_weight: Annotated[
            float, typer.Option("--style-weight", min=0, help="How much style there is.")
        ] = _DEFAULTS.style_weight,
        palette_weight: Annotated[
            float, typer.Option("--palette-weight", min=0, help="How closely the colours are the style's.")
        ] = _DEFAULTS.palette_weight,
        tv_weight: Annotated[
            float, typer.Option("--tv-weight", min=0, help="Smoothness (total variation).")
        ] = _DEFAULTS.tv_weight,
        lightness_weight: Annotated[
            float, typer.Option("--lightness-weight", min=0, help="How much of the photo's light and shade is kept.")
        ] = _DEFAULTS.lightness_weight,
        content_target: Annotated[
            ContentTarget,
            typer.Option("--content-target", help="The photo's features with the style's contrasts, or as they are."),
        ] = ContentTarget.restyled,
        style_scale: Annotated[
            float, typer.Option("--style-scale", help="Size of the style pictures: larger strokes with more.")
        ] = _DEFAULTS.style_scale,
        content_layer: Annotated[
            list[str] | None, typer.Option("--content-layer", help="May be given again.", show_default="the network's")
        ] = None,
        style_layer: Annotated[
            list[str] | None, typer.Option("--style-layer", help="May be given again.", show_default="the network's")
        ] = None,
        layer_weights: Annotated[
            str | None,
            typer.Option(
                "--layer-weights",
                help="One for each style layer, or 'falling': each a quarter of the one before.",
                metavar="W,W,…",
            ),
        ] = None,
        style_loss: Annotated[
            StyleLossName, typer.Option("--style-loss", help="How textures are compared.")
        ] = StyleLossName.covariance,
        init: Annotated[
            str, typer.Option("--init", help="Begin with 'content', 'noise', or a picture.", metavar="WHAT")
        ] = "content",
        keep_color: Annotated[
            KeepColor,
            typer.Option("--keep-color", help="Keep the photo's colours: paint lightness only, or recolour the style."),
        ] = KeepColor.none,
        mask: Annotated[
            list[Path] | None,
            typer.Option("--mask", help="White where to paint; again for each style, where it goes.", metavar="FILE"),
        ] = None,
        style_mask: Annotated[
            list[Path] | None,
            typer.Option(
                "--style-mask", help="White in the part of a style that is meant; one a style.", metavar="FILE"
            ),
        ] = None,
        fade: Annotated[
            float, typer.Option("--fade", min=0, max=0.5, help="Outer share of a style that fades out, frame and all.")
        ] = _DEFAULTS.fade,
        steps: Annotated[
            int, typer.Option("--steps", min=1, help="Passes through the network, over all sizes.")
        ] = _DEFAULTS.steps,
        scales: Annotated[
            int | None,
            typer.Option(
                "--scales", min=1, help="Sizes painted at, each twice the last.", show_default="from 128 px on"
            ),
        ] = None,
        optimizer: Annotated[OptimizerName, typer.Option("--optimizer", help="What moves the pixels.")] = (
            OptimizerName.lbfgs
        ),
        learning_rate: Annotated[
            float, typer.Option("--learning-rate", min=1e-4, help="Adam's.")
        ] = _DEFAULTS.learning_rate,
        average: Annotated[
            float, typer.Option("--average", min=0, max=0.9999, help="Decay of an average of Adam's pictures, as 0.99.")
        ] = _DEFAULTS.average,
        carry: Annotated[
            bool, typer.Option("--carry/--no-carry", help="Adam's moments are carried over from size to size.")
        ] = _DEFAULTS.keep_adam_state,
        polish: Annotated[
            float,
            typer.Option("--polish", min=0, max=1, help="Share of each size's steps that are Adam's, at the end."),
        ] = _DEFAULTS.adam_fraction,
        in_place: Annotated[
            float, typer.Option("--in-place", min=0, max=1, help="Share of the last size's steps without moves.")
        ] = _DEFAULTS.fixed_fraction,
        shift: Annotated[
            int, typer.Option("--shift", min=0, max=64, help="Pixels the picture is moved by in the network's grid.")
        ] = _DEFAULTS.shift,
        pooling: Annotated[
            Pooling,
            typer.Option("--pooling", help="'max' is the network's own; 'rescaled' averages are as large as maxima."),
        ] = Pooling.average,
        smoothing: Annotated[
            Smoothing, typer.Option("--smoothing", help="Of the features of residual networks (Wang et al. 2021).")
        ] = Smoothing.none,
        sweep: Annotated[
            str | None,
            typer.Option("--sweep", help="A sheet of one setting's values.", metavar="NAME=V,V,…"),
        ] = None,
        resume: Annotated[
            bool, typer.Option("--resume", help="Go on from where an interrupted run stopped, optimiser and all.")
        ] = False,
    ) -> None:
        """Paint photos in the style of other pictures (Gatys et al. 2016): CONTENT STYLE...

        The first picture is the content, the others are styles, STYLE:2 with twice the weight. With --style, all
        pictures named are contents. Paints at --size 256 (shorter side; 512 on CUDA) unless told otherwise.
        """
        from cnnviz.runtime.device import choose_device

        chosen = _split(input, styles)
        settings = {
            "content_weight": content_weight,
            "style_weight": style_weight,
            "palette_weight": palette_weight,
            "tv_weight": tv_weight,
            "lightness_weight": lightness_weight,
            "content_target": content_target.value,
            "style_scale": style_scale,
            "content_layers": content_layer,
            "style_layers": style_layer,
            "layer_weights": layer_weights if layer_weights == "falling" else numbers(layer_weights, "--layer-weights"),
            "style_loss": style_loss.value,
            "keep_color": keep_color.value,
            "fade": fade,
            "steps": steps,
            "scales": scales,
            "optimizer": optimizer.value,
            "learning_rate": learning_rate,
            "average": average,
            "keep_adam_state": carry,
            "adam_fraction": polish,
            "fixed_fraction": in_place,
            "shift": shift,
            "pooling": pooling.value,
            "smoothing": smoothing.value,
            "tile": tile_side(input.tile),
            **({"init": init} if init in ("content", "noise") else {}),
        }
        watch = StepMonitor(long, resume=resume)
        swept = Sweep.parse(sweep) if sweep else None
        _tell_idle(settings, swept.name if swept else None)
        if swept and resume:
            raise UsageError("A --sweep cannot be gone on with; leave out --resume.")
        current.values["resume"] = False  # how it came about is no part of the recipe
        is_usual = input.size is None
        if is_usual:
            input.size = _SIZES.get(choose_device(network.device).type, _SIZE)
            if input.size != _SIZE:  # a recipe means the same everywhere
                current.values["size"] = input.size
        painter = Painter(
            chosen,
            mask or [],
            style_mask or [],
            init,
            settings,
            input,
            run.seed,
            watch,
            resume,
            swept,
            is_usual,
        )
        output.skip_existing = output.skip_existing or resume
        painter.read()
        image_job("style", network, input, run, output, monitor=watch)(painter)


def _tell_idle(settings: dict[str, Any], swept: str | None) -> None:
    """Say which options have no effect beside the others."""
    if swept:
        idle(swept, why="beside a --sweep of it")
    is_newton = settings["optimizer"] == "lbfgs"
    if is_newton and swept == "learning_rate":
        raise UsageError("--sweep learning-rate is of Adam: give --optimizer adam too.")
    if is_newton:
        idle("learning_rate", why="without --optimizer adam")
        idle(
            "average", when=settings["adam_fraction"] == settings["fixed_fraction"] == 0, why="without steps of Adam's"
        )
        idle("carry", when=settings["adam_fraction"] < 1, why="without --optimizer adam")
    idle("carry", when=settings["scales"] == 1, why="with --scales 1")
    without_content = settings["content_weight"] == 0 and swept != "content_weight"
    idle("content_target", "content_layer", when=without_content, why="with --content-weight 0")
    without_style = settings["style_weight"] == 0 and swept != "style_weight"
    idle("style_layer", "layer_weights", "style_loss", when=without_style, why="with --style-weight 0")


def _split(input: PaintingOptions, styles: list[str] | None) -> list[StyleFile]:
    """The styles; leaves the contents in ``input``, and tells the recipe which is which."""
    if styles is None:
        named = list(input.images or [])
        if input.files_from is None and len(named) < 2:
            raise UsageError("Name a content and at least one style: cnnviz style photo.jpg starry.jpg.")
        contents = 0 if input.files_from is not None else 1
        input.images, styles = named[:contents], named[contents:]
        if not styles:
            raise UsageError("Name at least one style, as in --style starry.jpg.")
    chosen = [StyleFile.parse(text) for text in styles]
    current.values["styles"] = [style.named for style in chosen]
    return chosen
