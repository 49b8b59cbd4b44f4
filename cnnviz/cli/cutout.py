"""What ``saliency --grabcut`` writes beside its map: the mask, the object cut out, and the object on the photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnviz.cli.job import Picture

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

MASK, CUTOUT, OVERLAY = COMPANIONS = (".mask.png", ".cutout.png", ".overlay.png")
_OUTLINE = "#ffcc00"
_SATURATION, _BRIGHTNESS = 0.15, 0.4  # of the background in the overlay
_LIGHT, _DARK, _SQUARE = 255, 222, 40  # the chequers behind a cut-out, and how many fit its longer side


@dataclass(frozen=True)
class CutOut:
    """The three pictures by their suffix, a tile with its caption for the panel, and what there is to tell."""

    companions: dict[str, Image]
    tile: tuple[Image, str]
    facts: dict[str, Any]


def cut_out(picture: Picture, found: Tensor, seed: int) -> CutOut:
    """The foreground of the photo that the map ``found`` (1, 1, H, W) tells; negative values count as none."""
    from PIL import Image

    from cnnviz.attribution import segment_foreground
    from cnnviz.imaging import to_photo, to_pixels

    mask = segment_foreground(to_pixels(picture.photo), found.clamp_min(0), seed=seed)
    binary = to_photo(mask[0, 0].float())
    soft = _softened(binary)
    cut = picture.photo.convert("RGB")
    cut.putalpha(soft)
    pictures = {MASK: binary, CUTOUT: cut, OVERLAY: _overlaid(picture.photo, binary, soft)}
    tile = Image.composite(picture.photo, _chequers(picture.photo.size), soft)
    share = round(float(mask.float().mean()), 4)
    return CutOut(pictures, (tile, "cut out by GrabCut"), {"foreground_share": share})


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
