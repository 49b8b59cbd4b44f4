"""``--grabcut``: finds the object, and writes its mask, the object cut out, and the object on the photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli import console
from cnnviz.cli.options import OutputOptions
from cnnviz.pipeline.outputs import require_files
from cnnviz.pipeline.result import LoadedImage

if TYPE_CHECKING:
    from PIL.Image import Image

    from cnnviz.network.network import Network

MASK, CUTOUT, OVERLAY = COMPANIONS = (".mask.png", ".cutout.png", ".overlay.png")
GrabcutOption = Annotated[
    bool,
    typer.Option("--grabcut", help="Cut the object out: write mask, cut-out and overlay beside the map."),
]


@dataclass(frozen=True)
class CutOut:
    """The three images by their suffix, a tile with its caption for the panel, and the JSON's fields."""

    companions: dict[str, Image]
    tile: tuple[Image, str]
    facts: dict[str, Any]


def cut_out(network: Network, picture: LoadedImage, target: int | None, seed: int) -> CutOut:
    """The object on the photo, as the network sees it: of the likeliest classes, or of ``target`` alone.

    Says so on stderr where what is cut out is hardly an object.
    """
    from cnnviz.attribution.segmentation import mask_warning, object_map, segment_foreground
    from cnnviz.figures.cutout import cutout_images
    from cnnviz.imaging.pixels import to_pixels

    mask = segment_foreground(
        to_pixels(picture.photo), object_map(network, picture.pixels, target, seed=seed), seed=seed
    )
    doubts = mask_warning(mask[0, 0])
    if doubts:
        console.warn(f"{picture.source.display}: the cut-out may not be the object: {doubts}. Name it with --target.")
    images = cutout_images(picture.photo, mask[0, 0])
    share = round(float(mask.float().mean()), 4)
    facts = {"foreground_share": share, **({"foreground_doubt": doubts} if doubts else {})}
    companions = {MASK: images.mask, CUTOUT: images.cutout, OVERLAY: images.overlay}
    return CutOut(companions, (images.tile, "cut out by GrabCut"), facts)


def require(output: OutputOptions) -> None:
    """Raise UsageError, before any work, where the cut-outs cannot be made or written."""
    from cnnviz.attribution.segmentation import require_opencv

    require_files(output, "--grabcut")
    require_opencv()
