"""``cnnviz invert``: what each layer still knows of a photo."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli.command import command
from cnnviz.cli.idle import idle
from cnnviz.cli.jobs import image_job
from cnnviz.cli.options import BatchOptions, InputOptions, LongOptions, NetworkOptions, OutputOptions
from cnnviz.errors import UsageError
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.pipeline.step_monitor import StepMonitor
from cnnviz.synthesis.settings import InversionSettings

if TYPE_CHECKING:
    from PIL.Image import Image

    from cnnviz.network.network import Network


class OptimizerName(str, Enum):
    """What moves the picture."""

    lbfgs = "lbfgs"
    adam = "adam"


class Prior(str, Enum):
    """How the picture is described."""

    fourier = "fourier"
    pixels = "pixels"


@dataclass(frozen=True)
class Inversion:
    """From which layers, and how."""

    layers: tuple[str, ...]
    settings: InversionSettings
    raw: bool
    seed: int


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @command(
        app,
        "invert",
        examples="cnnviz invert sample_images/chelsea.png\n"
        "cnnviz invert sample_images/coffee.png --layers fire2,fire5,fire9 -o strip.png\n"
        "cnnviz invert sample_images/chelsea.png --layers fire6 --raw -o from_fire6.png",
    )
    def invert(
        network: NetworkOptions,
        input: InputOptions,
        output: OutputOptions,
        long: LongOptions,
        run: BatchOptions,
        layers: Annotated[
            str | None,
            typer.Option(
                "--layers",
                "--layer",
                "-l",
                help="Layers to paint from, separated by commas.",
                metavar="L[,L…]",
                show_default="shallow to deep",
            ),
        ] = None,
        steps: Annotated[
            int, typer.Option("--steps", min=1, help="Passes through the network for each layer.")
        ] = InversionSettings.steps,
        optimizer: Annotated[OptimizerName, typer.Option("--optimizer", help="What moves the picture.")] = (
            OptimizerName.lbfgs
        ),
        prior: Annotated[Prior, typer.Option("--prior", help="fourier looks natural; pixels is the plain recipe.")] = (
            Prior.fourier
        ),
        tv_weight: Annotated[
            float, typer.Option("--tv-weight", min=0, help="Of the total variation.")
        ] = InversionSettings.tv_weight,
        tv_beta: Annotated[
            float, typer.Option("--tv-beta", min=1, max=4, help="Its exponent.")
        ] = InversionSettings.tv_beta,
        raw: Annotated[bool, typer.Option("--raw", help="The picture alone; takes one layer.")] = False,
    ) -> None:
        """Paint a photo again from one layer's features alone: what the layer knows of it (Mahendran & Vedaldi 2015).

        Several layers make a strip from shallow to deep.
        """
        names = tuple(name.strip() for name in layers.split(",") if name.strip()) if layers is not None else ()
        if raw and len(names) != 1:
            raise UsageError("--raw writes one picture: name one layer with --layers.")
        idle("tv_beta", when=tv_weight == 0, why="with --tv-weight 0")
        settings = InversionSettings(steps, optimizer.value, prior.value, tv_weight, tv_beta)
        plan = Inversion(names, settings, raw, run.seed)
        watch = StepMonitor(long)
        image_job("inversion", network, input, run, output, monitor=watch)(
            lambda net, picture: _inverted(net, picture, plan, watch)
        )


def _inverted(network: Network, picture: LoadedImage, plan: Inversion, watch: StepMonitor) -> Result:
    from cnnviz.figures.inversion import inversion_strip
    from cnnviz.imaging.image_metrics import psnr
    from cnnviz.imaging.pixels import to_pil_image, to_pixels
    from cnnviz.network.default_layers import inversion_layers
    from cnnviz.network.network_transforms import in_full_precision
    from cnnviz.synthesis.inversion import feature_error, invert
    from cnnviz.synthesis.optimization import offset_steps

    layers = plan.layers or inversion_layers(network)
    for layer in layers:
        network.layers.node(layer)
    photo = to_pil_image(picture.pixels)
    painted: list[Image] = []
    found: list[dict[str, Any]] = []

    def strip(begun: Image | None) -> Image:
        """The photo, what is finished, and what was begun if anything."""
        images = [*painted[: len(found)], *([] if begun is None else [begun])]
        errors = [fact["feature_error"] for fact in found]
        title = f"{network.name}: painted from a layer's features"
        return inversion_strip(photo, images, layers, errors, title)

    watch.sheet = None if plan.raw else strip
    for number, layer in enumerate(layers):
        pixels = invert(
            network,
            picture.pixels,
            layer,
            settings=plan.settings,
            seed=plan.seed,
            on_step=offset_steps(watch, number * plan.settings.steps, len(layers) * plan.settings.steps),
        )
        painted.append(to_pil_image(pixels, clamp=True))
        seen = to_pixels(painted[-1])  # the eight bits that are written
        error = feature_error(in_full_precision(network), seen, picture.pixels, [layer])[layer]
        likeness = psnr(painted[-1], photo)
        found.append({"layer": layer, "feature_error": round(error, 5), "psnr": round(likeness, 2)})
        watch.part_is_done(layer)
    image = painted[0] if plan.raw else strip(None)
    return Result({"layers": found, "steps": plan.settings.steps}, image, target=layers[-1], is_measured=True)
