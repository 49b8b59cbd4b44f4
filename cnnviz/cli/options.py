"""Every option that several commands share, declared once, in groups a command asks for by type.

A command takes a parameter of one of these types (``network: NetworkOptions``); ``cnnviz.cli.command`` spreads its
fields out into the command's own options and hands the filled-in group over. Each option that a user may want to
set for good has an environment default, ``CNNVIZ_`` and its name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

    from cnnviz.network import Network

_NETWORK, _INPUT, _OUTPUT, _RUN = "Network", "Input", "Output", "Run"


def _option(*names: str, help: str, panel: str, env: str | None = None, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, envvar=f"CNNVIZ_{env}" if env else None, **more)


def _networks(incomplete: str) -> list[str]:
    """For the shell to complete: the networks whose names begin so."""
    from cnnviz.network import catalogue

    return [name for name in catalogue.names() if name.startswith(incomplete)]


@dataclass
class NetworkOptions:
    """Which network, with which weights, and where it computes."""

    model: Annotated[
        str,
        _option(
            "--model",
            "-m",
            env="MODEL",
            panel=_NETWORK,
            help="Network, by its torchvision name, or 'auto'.",
            autocompletion=_networks,
        ),
    ] = "auto"
    weights: Annotated[
        str | None,
        _option(
            "--weights",
            "-w",
            env="WEIGHTS",
            panel=_NETWORK,
            help="A torchvision weights name, a file (.pth, .pt, .safetensors), or 'random'.",
        ),
    ] = None
    labels: Annotated[
        Path | None,
        _option("--labels", panel=_NETWORK, help="File of class names, one per line, or JSON.", metavar="FILE"),
    ] = None
    mean: Annotated[
        str | None,
        _option("--mean", panel=_NETWORK, help="Normalisation your weights were trained with.", metavar="R,G,B"),
    ] = None
    std: Annotated[
        str | None,
        _option("--std", panel=_NETWORK, help="Normalisation your weights were trained with.", metavar="R,G,B"),
    ] = None
    device: Annotated[
        str, _option("--device", env="DEVICE", panel=_NETWORK, help="auto, cpu, cuda, cuda:N or mps.")
    ] = "auto"
    precision: Annotated[
        str, _option("--precision", env="PRECISION", panel=_NETWORK, help="auto, fp32, bf16 or fp16.")
    ] = "auto"
    offline: Annotated[bool, _option("--offline", env="OFFLINE", panel=_NETWORK, help="Never touch the network.")] = (
        False
    )

    def load(self, name: str, seed: int, *, progress: bool) -> Network:
        """The network these options describe, under the name that ``auto`` came down to."""
        from cnnviz.network import load_network

        return load_network(
            name,
            weights=self.weights,
            labels=self.labels,
            device=self.device,
            precision=self.precision,
            mean=numbers(self.mean, "--mean"),
            std=numbers(self.std, "--std"),
            seed=seed,
            progress=progress,
        )

    def choose(self, technique: str) -> tuple[str, str | None]:
        """The model's name, and a remark for the user where ``auto`` had to settle for something."""
        from cnnviz.network import catalogue
        from cnnviz.network.choice import choose_model

        if self.offline:
            os.environ["CNNVIZ_OFFLINE"] = "1"
        if self.model != "auto":
            if self.model not in catalogue.names():
                raise catalogue.unknown_model(self.model)
            return self.model, None
        if self.weights is not None:
            raise UsageError("Weights belong to a model: name it too, as in '--model resnet18 --weights my.pth'.")
        choice = choose_model(technique)
        return choice.name, choice.remark


@dataclass
class NetworksOptions(NetworkOptions):
    """Several networks, with all other options in common."""

    model: Annotated[
        list[str] | None,
        _option(
            "--model",
            "-m",
            env="MODEL",
            panel=_NETWORK,
            help="Network, by its torchvision name, or 'auto'; may be given several times.",
            autocompletion=_networks,
            show_default="auto",
        ),
    ] = None  # type: ignore[assignment]

    def each(self) -> list[NetworkOptions]:
        """The options of each network named, once each, in their order."""
        common = {f.name: getattr(self, f.name) for f in fields(NetworkOptions) if f.name != "model"}
        return [NetworkOptions(model=name, **common) for name in dict.fromkeys(self.model or ["auto"])]


@dataclass
class PictureOptions:
    """Which pictures, and how they are read."""

    images: Annotated[
        list[str] | None,
        typer.Argument(
            help="Pictures: files, folders, quoted globs, or '-' for one picture on standard input.",
            metavar="IMG...",
            show_default=False,
        ),
    ] = None
    files_from: Annotated[
        str | None,
        _option(
            "--files-from",
            panel=_INPUT,
            help="Read the list of pictures from a file or '-', one per line or NUL-separated.",
            metavar="FILE|-",
        ),
    ] = None
    recursive: Annotated[bool, _option("--recursive", "-r", panel=_INPUT, help="Go down into folders.")] = False
    background: Annotated[
        str,
        _option("--background", panel=_INPUT, help="Colour put behind transparent pictures.", metavar="COLOUR"),
    ] = "white"
    max_pixels: Annotated[
        int,
        _option("--max-pixels", panel=_INPUT, min=1, help="Refuse larger pictures unread (decompression bombs)."),
    ] = 178_956_970

    @property
    def side(self) -> int | None:
        """The shorter side a picture is brought to; None for what the network was trained on."""
        return None

    @property
    def square(self) -> bool:
        """Whether only the central square is looked at."""
        return False

    @property
    def piece(self) -> int | None:
        """The largest side the network sees at once; None for pictures that it sees whole."""
        return None

    def size_of(self, photo: Image) -> int | tuple[int, int] | None:
        """The size this photo is brought to, as ``to_pixels`` takes it; ``side``, where all are treated alike."""
        return self.side


@dataclass
class InputOptions(PictureOptions):
    """Which pictures, and how they are brought to the network's size."""

    size: Annotated[
        int | None,
        _option(
            "--size",
            "-s",
            env="SIZE",
            panel=_INPUT,
            min=1,
            help="Shorter side the network sees, in pixels (default: what it was trained on).",
        ),
    ] = None
    crop: Annotated[
        bool,
        _option(
            "--crop",
            panel=_INPUT,
            help="Look at the central square only, as ImageNet accuracies are measured.",
        ),
    ] = False

    @property
    def side(self) -> int | None:
        return self.size

    @property
    def square(self) -> bool:
        return self.crop


@dataclass
class SampleOptions(PictureOptions):
    """Which samples of textures, how large they are looked at, and how large the result is."""

    size: Annotated[
        str | None,
        _option(
            "--size",
            "-s",
            panel=_INPUT,
            help="Size of the result: a side in pixels, or WIDTHxHEIGHT.",
            metavar="N|WxH",
            show_default="the sample's",
        ),
    ] = None
    sample_size: Annotated[
        int,
        _option("--sample-size", panel=_INPUT, min=32, help="Shorter side at which the sample is looked at."),
    ] = 256
    crop: Annotated[bool, _option("--crop", panel=_INPUT, help="Take the sample's central square only.")] = False

    @property
    def side(self) -> int | None:
        return self.sample_size

    @property
    def square(self) -> bool:
        return self.crop


_CANVAS = 512


@dataclass
class CanvasOptions(PictureOptions):
    """Which photos are painted on, at what size, whole or in pieces."""

    size: Annotated[
        int | None,
        _option(
            "--size",
            "-s",
            env="SIZE",
            panel=_INPUT,
            min=32,
            help="Shorter side of the result in pixels.",
            show_default=f"the photo's, at most {_CANVAS}; any with --tile",
        ),
    ] = None
    tile: Annotated[
        int | None,
        _option(
            "--tile",
            panel=_INPUT,
            min=128,
            help="Show the network pieces of at most this side, for photos larger than memory.",
            metavar="N",
        ),
    ] = None

    @property
    def piece(self) -> int | None:
        return self.tile

    def size_of(self, photo: Image) -> tuple[int, int]:
        """The photo's own shape, however long a strip it is: what is painted is not to be squeezed."""
        own = min(photo.size)
        scale = (self.size or (own if self.tile else min(own, _CANVAS))) / own
        return max(1, round(photo.height * scale)), max(1, round(photo.width * scale))


@dataclass
class OutputOptions:
    """Where pictures are written."""

    output: Annotated[
        str | None,
        _option(
            "--output",
            "-o",
            panel=_OUTPUT,
            help="File, FOLDER/, '-' for PNG bytes on standard output, or a template of "
            "{stem} {name} {parent} {command} {model} {target}.",
            metavar="OUT",
            show_default="{stem}.{command}.png",
        ),
    ] = None
    force: Annotated[bool, _option("--force", "-f", env="FORCE", panel=_OUTPUT, help="Overwrite outputs.")] = False
    skip_existing: Annotated[
        bool,
        _option("--skip-existing", panel=_OUTPUT, help="Leave out pictures whose output is there already."),
    ] = False


@dataclass
class PageOptions(OutputOptions):
    """Where a page is written."""

    output: Annotated[
        str | None,
        _option(
            "--output",
            "-o",
            panel=_OUTPUT,
            help="File, FOLDER/, '-' for standard output, or a template of {stem} {command} {model}.",
            metavar="OUT",
            show_default="{stem}.{command}.html",
        ),
    ] = None


@dataclass
class StoreOptions:
    """Where what was computed of each picture is kept, so that the next run need not compute it again."""

    store: Annotated[
        Path | None,
        _option(
            "--store",
            env="STORE",
            panel=_RUN,
            help="Folder that keeps what is computed of each picture.",
            metavar="FOLDER",
            show_default="~/.cache/cnnviz/features",
        ),
    ] = None
    batch: Annotated[
        int, _option("--batch", env="BATCH", panel=_RUN, min=1, help="Pictures the network sees at once.")
    ] = 16


@dataclass
class LongOptions:
    """What a job of many steps leaves behind on its way."""

    save_every: Annotated[
        int,
        _option("--save-every", panel=_RUN, min=0, help="Write the picture so far every N steps.", metavar="N"),
    ] = 0
    gif: Annotated[bool, _option("--gif", panel=_RUN, help="Write a GIF of the progress beside the picture.")] = False


@dataclass
class RunOptions:
    """How the run is reported."""

    json: Annotated[
        bool,
        _option("--json", env="JSON", panel=_RUN, help="Print one JSON object per result on standard output."),
    ] = False
    seed: Annotated[int, _option("--seed", env="SEED", panel=_RUN, help="Seed of everything random.")] = 0
    quiet: Annotated[bool, _option("--quiet", "-q", panel=_RUN, help="Print results and errors only.")] = False
    verbose: Annotated[bool, _option("--verbose", "-v", panel=_RUN, help="Say what is going on.")] = False
    debug: Annotated[bool, _option("--debug", panel=_RUN, help="Show the traceback of an error.")] = False


NOT_IN_PARAMETERS = {
    *("images", "files_from", "recursive", "output", "force", "skip_existing", "offline", "max_pixels"),
    *("json", "quiet", "verbose", "debug", "device", "store", "batch"),
    *("model", "seed", "target", "save_every", "gif"),
}
"""Options that a recipe leaves out of its parameters: where pictures come from and go to, how the run is reported,
and what the recipe tells by itself."""


def numbers(text: str | None, option: str) -> list[float] | None:
    """Numbers separated by commas; a UsageError that names ``option`` for anything else."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(
            f"{option} takes numbers separated by commas, as in 0.485,0.456,0.406, not '{text}'."
        ) from None


TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        "-t",
        help="Class to explain: index, name, or part of a name (default: the likeliest).",
        metavar="CLASS",
    ),
]
