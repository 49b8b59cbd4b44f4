"""``cnnviz fast-style train``: a network that paints in the styles of some pictures, to be stopped and resumed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli import console
from cnnviz.cli.command import command, current
from cnnviz.cli.idle import idle
from cnnviz.cli.jobs import network_job
from cnnviz.cli.options import NetworkOptions, OutputOptions, RunOptions, numbers
from cnnviz.errors import UsageError
from cnnviz.pipeline import inputs
from cnnviz.pipeline.checkpoint import Checkpointer
from cnnviz.pipeline.config import ImageConfig, MonitorConfig
from cnnviz.pipeline.reporter import Reporter
from cnnviz.pipeline.result import Result
from cnnviz.pipeline.step_monitor import StepMonitor
from cnnviz.style.settings import FastStyleConfig, TrainingSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from PIL.Image import Image

    from cnnviz.network.network import Network
    from cnnviz.style.fast import FastStyleNetwork
    from cnnviz.style.training import FastStyleTraining


_SUFFIX = ".safetensors"
_THUMBNAIL = 128  # pixels, the longer side


def _training(*names: str, help: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="Training", **more)


class Precision(str, Enum):
    """What the trained network computes in."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


@dataclass
class TrainingOptions:
    """How the network is built and trained."""

    steps: Annotated[int, _training("--steps", min=1, help="Updates.")] = TrainingSettings.steps
    batch: Annotated[int, _training("--batch", min=1, max=4096, help="Crops in each.")] = TrainingSettings.batch
    crop: Annotated[int, _training("--crop", min=32, max=16_384, help="Their side in pixels, a multiple of 4.")] = (
        TrainingSettings.crop
    )
    style_size: Annotated[
        int,
        _training("--style-size", min=64, max=16_384, help="Shorter side of the styles; smaller makes finer strokes."),
    ] = TrainingSettings.style_size
    fade: Annotated[
        float, _training("--fade", min=0, max=0.5, help="Outer share of a style that fades out, frame and all.")
    ] = TrainingSettings.fade
    widths: Annotated[str, _training("--widths", help="Channels at full, half and quarter size.", metavar="A,B,C")] = (
        ",".join(map(str, TrainingSettings.widths))
    )
    blocks: Annotated[int, _training("--blocks", min=0, max=100, help="Residual blocks.")] = TrainingSettings.blocks
    learning_rate: Annotated[float, _training("--learning-rate", help="Of Adam, at first.")] = (
        TrainingSettings.learning_rate
    )
    content_weight: Annotated[float, _training("--content-weight", min=0, help="Of the photo.")] = (
        TrainingSettings.content_weight
    )
    style_weight: Annotated[float, _training("--style-weight", min=0, help="Of the style.")] = (
        TrainingSettings.style_weight
    )
    palette_weight: Annotated[float, _training("--palette-weight", min=0, help="Of the colours.")] = (
        TrainingSettings.palette_weight
    )
    tv_weight: Annotated[float, _training("--tv-weight", min=0, help="Of smoothness.")] = TrainingSettings.tv_weight
    augment: Annotated[bool, _training("--augment/--no-augment", help="Vary the photos' colours and sharpness.")] = (
        TrainingSettings.augment
    )
    mixed: Annotated[Precision, _training("--mixed-precision", help="What the trained network computes in.")] = (
        Precision.fp32
    )

    def settings(self) -> dict[str, Any]:
        """The fields of ``TrainingSettings``."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "mixed"}
        widths = tuple(int(width) for width in numbers(self.widths, "--widths") or ())
        return {**values, "widths": widths, "precision": self.mixed.value}


@dataclass
class _Sheets(StepMonitor):
    """Previews as pictures beside the model; interrupted, the state is all that is left."""

    resuming: bool = False

    @contextmanager
    def monitoring(
        self, path: Path | None, recipe: dict[str, Any], reporter: Reporter, *, force: bool
    ) -> Iterator[None]:
        # The sheets of the run that is gone on with are its own, and may be written again.
        with super().monitoring(
            path.with_suffix(".png") if path else None, recipe, reporter, force=force or self.resuming
        ):
            yield

    def partial_result(self) -> Result | None:
        return None


def register(group: typer.Typer) -> None:
    """Add the command to the group."""

    @command(
        group,
        "train",
        group="fast-style",
        examples="cnnviz fast-style train starry.jpg ink.jpg --content photos/ -o my.safetensors\n"
        "cnnviz fast-style train starry.jpg ink.jpg --content photos/ -o my.safetensors --resume\n"
        "cnnviz fast-style train monet.jpg --extend my.safetensors --content photos/ -o more.safetensors",
    )
    def train(
        network: NetworkOptions,
        output: OutputOptions,
        run: RunOptions,
        training: TrainingOptions,
        styles: Annotated[
            list[Path],
            typer.Argument(help="Style pictures; each style is named after its file.", metavar="STYLE..."),
        ],
        content: Annotated[
            list[str],
            typer.Option("--content", "-c", help="Photos to learn on: a folder, file or quoted glob; may be repeated."),
        ],
        recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Go down into folders.")] = False,
        extend: Annotated[
            Path | None,
            typer.Option("--extend", help="Add the styles to this model; what it knows stays.", metavar="FILE"),
        ] = None,
        start: Annotated[
            Path | None,
            typer.Option("--start", help="Begin with what this model of the same styles has learned.", metavar="FILE"),
        ] = None,
        resume: Annotated[bool, typer.Option("--resume", help="Go on where the last run stopped.")] = False,
        save_every: Annotated[
            int, typer.Option("--save-every", min=0, help="Keep a state and a preview sheet every N steps.")
        ] = 500,
    ) -> None:
        """Train a network that paints photos in one pass in the styles of some pictures."""
        _refuse_standard_output(output)
        idle("widths", "blocks", when=extend is not None, why="with --extend, whose network stays")
        fabric = _launched(network)
        watch = _Sheets(MonitorConfig(save_every=save_every), resuming=resume)
        base = _Base(extend, start)
        trainer = _Trainer(styles, content, recursive, base, training.settings(), run.seed, watch, resume, fabric)
        trainer.check()
        job = network_job("style", network, run, output, monitor=watch)
        job.suffix, job.sidecars = _SUFFIX, [f".{name}.jpg" for name in trainer.names]
        job.of_network(trainer.train, name=trainer.names[0] if len(trainer.names) == 1 else "styles")


@dataclass(frozen=True)
class _Base:
    """The models a training builds on: one to extend, one to begin with."""

    extend: Path | None = None
    start: Path | None = None

    def networks(self) -> dict[str, FastStyleNetwork]:
        """By what they are for; ModelError that names the file of one that cannot be read."""
        from cnnviz.style.model_file import load_fast_style

        return {use: load_fast_style(path) for use, path in vars(self).items() if path}


class _Trainer:
    """Trains, from what was typed to the model's file."""

    def __init__(
        self,
        styles: list[Path],
        content: list[str],
        recursive: bool,
        base: _Base,
        settings: dict[str, Any],
        seed: int,
        watch: StepMonitor,
        resume: bool,
        fabric: Fabric | None,
    ) -> None:
        self.fabric = fabric
        self.styles, self.base, self.settings, self.seed = styles, base, settings, seed
        self.watch, self.resume = watch, resume
        self.photos = inputs.expand(ImageConfig(images=content, recursive=recursive), console.reporter)
        self.names = [path.stem for path in styles]

    def check(self) -> None:
        """Find out before any work what cannot be: settings, names, pictures."""
        from cnnviz.style.fast import check_names

        check_names(self.names)
        settings = TrainingSettings(**self.settings)
        FastStyleConfig(settings.widths, settings.blocks)
        if any(photo.path is None for photo in self.photos):
            raise UsageError("Training reads its photos more than once: give files, not '-'.")

    def train(self, network: Network) -> Result:
        from cnnviz.imaging.image_io import read_pil_image
        from cnnviz.imaging.pixels import to_pixels
        from cnnviz.style.model_file import to_bytes
        from cnnviz.style.training import FastStyleTraining

        photos = [read_pil_image(path) for path in self.styles]
        pictures = {name: to_pixels(photo) for name, photo in zip(self.names, photos, strict=True)}
        paths = [photo.path for photo in self.photos if photo.path]
        if self.fabric:
            network.to(self.fabric.device)
        made_with = TrainingSettings(**self.settings)
        training = FastStyleTraining(
            network, pictures, paths, made_with, self.seed, fabric=self.fabric, **self.base.networks()
        )
        last = self._run(training, paths)
        facts = {"styles": list(training.network.styles), "steps": training.done, "losses": last}
        facts |= {"photos": len(paths), "skipped": [paths[i].name for i in sorted(training.skipped)]}
        made = {
            "perceived_by": network.name,
            "weights": network.weights.label,
            "seed": self.seed,
            "settings": self.settings,
            "photos": len(paths) - len(training.skipped),
            "losses": last,
        }
        thumbnails = {f".{name}.jpg": _small(photo) for name, photo in zip(self.names, photos, strict=True)}
        told = {name: value for name, value in current.parameters().items() if name != "styles"}  # typed as inputs are
        recipe = {"inputs": [str(path) for path in self.styles], "parameters": told}
        return Result(facts, to_bytes(training.network, made), sidecars=thumbnails, recipe=recipe)

    def _run(self, training: FastStyleTraining, paths: list[Path]) -> dict[str, float]:
        """Train to the end; the last losses."""
        told: set[int] = set()
        losses: dict[str, float] = {}

        def on_step(step: Any) -> None:
            losses.update({name: round(value, 4) for name, value in step.terms.items()})
            for index in training.skipped.keys() - told:
                console.warn(f"{paths[index]} is left out: {training.skipped[index]}")
                told.add(index)
            if training.rank == 0:
                self.watch(step)

        Checkpointer(self.watch, self.resume, self._key(), writes=training.rank == 0).run(training, on_step)
        if training.rank > 0:
            raise typer.Exit  # the first process writes what all have made
        return losses

    def _key(self) -> dict[str, Any]:
        """What must be the same when it is gone on with; the number of steps need not."""
        settings = {**current.parameters(), **self.settings, "seed": self.seed, "photos": len(self.photos)}
        return {name: value for name, value in settings.items() if name not in ("steps", "resume", "save_every")}


def _launched(network: NetworkOptions) -> Fabric | None:
    """What joins the processes that torchrun started; None where there is but one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise UsageError(
            "Training in several processes needs lightning-fabric: pip install 'cnnviz[train]'."
        ) from error
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    accelerator = network.device.partition(":")[0]
    fabric = Fabric(
        accelerator=accelerator, devices=local, num_nodes=int(os.environ["WORLD_SIZE"]) // local, strategy="ddp"
    )
    fabric.launch()
    return fabric


def _small(photo: Image) -> Image:
    thumbnail = photo.convert("RGB")
    thumbnail.thumbnail((_THUMBNAIL, _THUMBNAIL))
    return thumbnail


def _refuse_standard_output(output: OutputOptions) -> None:
    from cnnviz.pipeline import outputs

    outputs.require_files(output, "Training")
