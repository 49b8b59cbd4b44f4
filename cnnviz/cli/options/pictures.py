"""Which pictures, and how they are brought to the size they are looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from cnnviz.cli.options.declaring import INPUT, option
from cnnviz.cli.options.numeric import LARGEST_SIDE, index
from cnnviz.errors import UsageError, shortened

if TYPE_CHECKING:
    from PIL.Image import Image


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
        option(
            "--files-from",
            panel=INPUT,
            help="Read the list of pictures from a file or '-', one per line or NUL-separated.",
            metavar="FILE|-",
        ),
    ] = None
    shard: Annotated[
        str | None,
        option("--shard", panel=INPUT, help="Only the I-th of N parts of the pictures, as 1/4.", metavar="I/N"),
    ] = None
    recursive: Annotated[bool, option("--recursive", "-r", panel=INPUT, help="Go down into folders.")] = False
    background: Annotated[
        str,
        option("--background", panel=INPUT, help="Colour put behind transparent pictures.", metavar="COLOUR"),
    ] = "white"
    max_pixels: Annotated[
        int,
        option(
            "--max-pixels", panel=INPUT, min=1, max=10**12, help="Refuse larger pictures unread (decompression bombs)."
        ),
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
        option(
            "--size",
            "-s",
            env="SIZE",
            panel=INPUT,
            min=1,
            max=LARGEST_SIDE,
            help="Shorter side the network sees, in pixels (default: what it was trained on).",
        ),
    ] = None
    crop: Annotated[
        bool,
        option(
            "--crop",
            panel=INPUT,
            help="Look at the central square only, as the accuracy of the weights is measured.",
        ),
    ] = False

    @property
    def side(self) -> int | None:
        return self.size

    @property
    def square(self) -> bool:
        return self.crop


_PIECE = 512


def tile_side(text: str) -> int | None:
    """``--tile``: a side in pixels, 0 for pictures shown whole, None for ``auto``; UsageError for anything else."""
    if text == "auto":
        return None
    side = index(text)
    if side is None:
        raise UsageError(f"--tile takes auto, a side in pixels, or 0 for the whole picture, not '{shortened(text)}'.")
    return side


_Tile = Annotated[
    str,
    option(
        "--tile",
        panel=INPUT,
        help="Show the network pieces of at most this side; 0 the whole; auto: pieces where memory is short.",
        metavar="auto|N|0",
    ),
]


@dataclass
class PaintingOptions(InputOptions):
    """Which photos are painted, at what size, whole or in pieces."""

    tile: _Tile = "auto"

    @property
    def piece(self) -> int | None:
        side = tile_side(self.tile)
        return _PIECE if side is None else side or None


@dataclass
class SampleOptions(PictureOptions):
    """Which samples of textures, how large they are looked at, and how large the result is."""

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
            help="Shorter side at which the sample is looked at.",
        ),
    ] = 256
    crop: Annotated[bool, option("--crop", panel=INPUT, help="Take the sample's central square only.")] = False
    tile: _Tile = "auto"

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
        option(
            "--size",
            "-s",
            env="SIZE",
            panel=INPUT,
            min=32,
            max=LARGEST_SIDE,
            help="Shorter side of the result in pixels.",
            show_default=f"the photo's, at most {_CANVAS}; any with --tile",
        ),
    ] = None
    tile: Annotated[
        int | None,
        option(
            "--tile",
            panel=INPUT,
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
