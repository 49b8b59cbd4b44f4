"""What ``--grabcut`` writes beside a map: the mask, the object cut out, and the object on the photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli import console
from cnnviz.cli.job import Picture
from cnnviz.cli.options import OutputOptions
from cnnviz.cli.outputs import require_files

if TYPE_CHECKING:
    from PIL.Image import Image

    from cnnviz.network import Network

MASK, CUTOUT, OVERLAY = COMPANIONS = (".mask.png", ".cutout.png", ".overlay.png")
GrabcutOption = Annotated[
    bool,
    typer.Option("--grabcut", help="Cut the object out: write mask, cut-out and overlay beside the map."),
]
_OUTLINE = "#ffcc00"
_SATURATION, _BRIGHTNESS = 0.15, 0.4  # of the background in the overlay
_LIGHT, _DARK, _SQUARE = 255, 222, 40  # the chequers behind a cut-out, and how many fit its longer side


@dataclass(frozen=True)
class CutOut:
    """The three pictures by their suffix, a tile with its caption for the panel, and what there is to tell."""

    companions: dict[str, Image]
    tile: tuple[Image, str]
    facts: dict[str, Any]


def cut_out(network: Network, picture: Picture, target: int | None, seed: int) -> CutOut:
    """The object on the photo, as the network sees it: of the likeliest classes, or of ``target`` alone.

    Says so on stderr where what is cut out is hardly an object.
    """
    from PIL import Image

    from cnnviz.attribution.segmentation import doubt, object_map, segment_foreground
    from cnnviz.imaging.pixels import to_pil_image, to_pixels

    mask = segment_foreground(
        to_pixels(picture.photo), object_map(network, picture.pixels, target, seed=seed), seed=seed
    )
    doubts = doubt(mask[0, 0])
    if doubts:
        console.warn(f"{picture.source.display}: the cut-out may not be the object: {doubts}. Name it with --target.")
    binary = to_pil_image(mask[0, 0].float())
    soft = _softened(binary)
    cut = picture.photo.convert("RGB")
    cut.putalpha(soft)
    pictures = {MASK: binary, CUTOUT: cut, OVERLAY: _overlaid(picture.photo, binary, soft)}
    tile = Image.composite(picture.photo, _chequers(picture.photo.size), soft)
    share = round(float(mask.float().mean()), 4)
    facts = {"foreground_share": share, **({"foreground_doubt": doubts} if doubts else {})}
    return CutOut(pictures, (tile, "cut out by GrabCut"), facts)


def require(output: OutputOptions) -> None:
    """Raise UsageError, before any work, where the cut-outs cannot be made or written."""
    from cnnviz.attribution.segmentation import require_opencv

    require_files(output, "--grabcut")
    require_opencv()


def _softened(binary: Image) -> Image:
    """The mask with an outline that fades over a pixel or two, in proportion to the photo."""
    from PIL import ImageFilter

    return binary.filter(ImageFilter.GaussianBlur(max(0.7, max(binary.size) / 1000)))


def _overlaid(photo: Image, binary: Image, soft: Image) -> Image:
    """The photo, its background pale and dark, and a line around the foreground."""
    from PIL import Image, ImageChops, ImageEnhance, ImageFilter

    pale = ImageEnhance.Color(photo.convert("RGB")).enhance(_SATURATION)
    seen = Image.composite(photo.convert("RGB"), ImageEnhance.Brightness(pale).enhance(_BRIGHTNESS), soft)
    width = max(1.0, max(photo.size) / 400)
    wide = binary.filter(ImageFilter.GaussianBlur(width)).point(lambda value: 255 if value > 40 else 0)
    line = ImageChops.subtract(wide, binary).filter(ImageFilter.GaussianBlur(0.5))
    seen.paste(_OUTLINE, (0, 0), line)
    return seen


def _chequers(size: tuple[int, int]) -> Image:
    """Light squares, which stand for nothing being there."""
    import numpy as np
    from PIL import Image

    width, height = size
    square = max(4, max(size) // _SQUARE)
    odd = (np.arange(height)[:, None] // square + np.arange(width)[None] // square) % 2
    return Image.fromarray(np.where(odd, _DARK, _LIGHT).astype(np.uint8)).convert("RGB")
