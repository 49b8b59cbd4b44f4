"""The object that a class is seen in, cut out of the photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnviz.errors import Remark
from cnnviz.pipeline.result import LoadedImage
from cnnviz.settings import setting

if TYPE_CHECKING:
    from PIL.Image import Image

    from cnnviz.network.network import Network
    from cnnviz.network.targets import TargetFunction

MASK, CUTOUT, OVERLAY = CUTOUT_SIDECARS = (".mask.png", ".cutout.png", ".overlay.png")


def grabcut_setting() -> Any:
    """Whether the object is cut out."""
    return setting(False, "Cut the object out: write mask, cut-out and overlay beside the map.")


@dataclass(frozen=True)
class CutOut:
    """The three images by their suffix, a tile with its caption for the panel, metadata, and warnings."""

    sidecars: dict[str, Image]
    tile: tuple[Image, str]
    metadata: dict[str, Any]
    warnings: list[str]


def cut_out(network: Network, image: LoadedImage, target: int | TargetFunction | None, seed: int) -> CutOut:
    """The object on the photo, as the network sees it: of the likeliest classes, or of ``target`` alone."""
    from cnnviz.attribution.segmentation import mask_warning, object_map, segment_foreground
    from cnnviz.figures.cutout import cutout_images
    from cnnviz.imaging.pixels import to_pixels

    mask = segment_foreground(to_pixels(image.photo), object_map(network, image.pixels, target, seed=seed), seed=seed)
    doubts = mask_warning(mask[0, 0])
    text = f"{image.source.display}: the cut-out may not be the object: {doubts}."
    images = cutout_images(image.photo, mask[0, 0])
    share = round(float(mask.float().mean()), 4)
    return CutOut(
        {MASK: images.mask, CUTOUT: images.cutout, OVERLAY: images.overlay},
        (images.tile, "cut out by GrabCut"),
        {"foreground_share": share, **({"foreground_doubt": doubts} if doubts else {})},
        [Remark(text, remedy="cutout_target")] if doubts else [],
    )
