"""Which images, and how they are read and resized."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

import typer

from cnnviz.cli.options.declaring import ADVANCED, INPUT, option
from cnnviz.errors import UsageError, shortened
from cnnviz.pipeline.config import (
    CANVAS_SIDE,
    LARGEST_SIDE,
    CanvasConfig,
    ImageConfig,
    InputConfig,
    PaintingConfig,
    SampleConfig,
)


@dataclass
class ImageOptions(ImageConfig):
    """Which images, and how they are read."""

    images: Annotated[
        list[str] | None,
        typer.Argument(
            help="Images: files, folders, quoted globs, or '-' for one image on standard input.",
            metavar="IMG...",
            show_default=False,
        ),
    ] = ImageConfig.images
    files_from: Annotated[
        str | None,
        option(
            "--files-from",
            panel=INPUT,
            help="Read the list of images from a file or '-', one per line or NUL-separated.",
            metavar="FILE|-",
        ),
    ] = ImageConfig.files_from
    shard: Annotated[
        str | None,
        option("--shard", panel=INPUT, help="Only the I-th of N parts of the images, as 1/4.", metavar="I/N"),
    ] = ImageConfig.shard
    recursive: Annotated[bool, option("--recursive", "-r", panel=INPUT, help="Search folders in folders too.")] = (
        ImageConfig.recursive
    )
    background: Annotated[
        str,
        option("--background", panel=INPUT, help="Background color of transparent images.", metavar="COLOR"),
    ] = ImageConfig.background
    max_pixels: Annotated[
        int,
        option(
            "--max-pixels", panel=INPUT, min=1, max=10**12, help="Refuse larger images unread (decompression bombs)."
        ),
    ] = ImageConfig.max_pixels


@dataclass
class InputOptions(ImageOptions, InputConfig):
    """Which images, and how they are resized for the network."""

    size: Annotated[
        int | None,
        option(
            "--size",
            "-s",
            env="SIZE",
            panel=INPUT,
            min=1,
            max=LARGEST_SIDE,
            help="Shorter side that the network sees, in pixels.",
            show_default="what it was trained on",
        ),
    ] = InputConfig.size
    crop: Annotated[
        bool,
        option(
            "--crop",
            panel=INPUT,
            help="Show the network the central square only, as its accuracy is measured.",
        ),
    ] = InputConfig.crop
    show_channels: Annotated[
        str | None,
        option(
            "--show-channels",
            panel=ADVANCED,
            help="Channels, from 1, that figures show of images that are no photos: 3,2,1, or 4, or mean.",
            metavar="R,G,B|C|mean",
            show_default="the first three; of two the mean",
        ),
    ] = InputConfig.show_channels


_Tile = Annotated[
    str,
    option(
        "--tile",
        panel=INPUT,
        help="Largest side of the pieces the network sees; 0: the whole; auto: pieces if memory is short.",
        metavar="auto|N|0",
    ),
]


@dataclass
class PaintingOptions(InputOptions, PaintingConfig):
    """Which photos are painted, at what size, whole or in tiles."""

    size: Annotated[
        int | None,
        option(
            "--size",
            "-s",
            env="SIZE",
            panel=INPUT,
            min=1,
            max=LARGEST_SIDE,
            help="Shorter side of the painting in pixels.",
            show_default="256; 512 on CUDA",
        ),
    ] = PaintingConfig.size
    tile: _Tile = PaintingConfig.tile


@dataclass
class SampleOptions(ImageOptions, SampleConfig):
    """Which samples of textures, at what size the network sees them, and how large the result is."""

    size: Annotated[
        str | None,
        option(
            "--size",
            "-s",
            panel=INPUT,
            help="Size of the result: a side in pixels, or WIDTHxHEIGHT.",
            metavar="N|WxH",
            show_default="the sample's",
        ),
    ] = None
    sample_size: Annotated[
        int,
        option(
            "--sample-size",
            panel=INPUT,
            min=32,
            max=LARGEST_SIDE,
            help="Shorter side at which the network sees the sample.",
        ),
    ] = SampleConfig.sample_size
    crop: Annotated[bool, option("--crop", panel=INPUT, help="Take the sample's central square only.")] = (
        SampleConfig.crop
    )
    tile: _Tile = SampleConfig.tile

    @property
    def result_size(self) -> tuple[int, int] | None:
        """Height and width of the result; None for the sample's."""
        return None if self.size is None else parse_size(self.size)


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of ``512`` or ``768x512``, in which the width comes first."""
    found = re.fullmatch(r"([0-9]{1,12})(?:[x×]([0-9]{1,12}))?", text.strip())
    width, height = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= min(width, height) <= max(width, height) <= LARGEST_SIDE:
        raise UsageError(f"--size takes a side in pixels or WIDTHxHEIGHT, as in 768x512, not '{shortened(text)}'.")
    return height, width


@dataclass
class CanvasOptions(ImageOptions, CanvasConfig):
    """Which photos are painted on, at what size, whole or in pieces."""

    size: Annotated[
        int | None,
        option(
            "--size",
            "-s",
            env="SIZE",
            panel=INPUT,
            min=32,
            max=LARGEST_SIDE,
            help="Shorter side of the result in pixels.",
            show_default=f"the photo's, at most {CANVAS_SIDE}; any with --tile",
        ),
    ] = CanvasConfig.size
    tile: Annotated[
        int | None,
        option(
            "--tile",
            panel=INPUT,
            min=128,
            help="Show the network pieces of at most this side, for photos larger than memory.",
            metavar="N",
        ),
    ] = CanvasConfig.tile
