"""The figure of occlusion: the drop of the class score, and which class wins where the patch lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageEnhance

from cnnviz.figures.maps import MapStyle

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.attribution.occlusion import OcclusionGrid

_COLORS = {
    "blue": (31, 119, 180),
    "orange": (255, 127, 14),
    "green": (44, 160, 44),
    "red": (214, 39, 40),
    "purple": (148, 103, 189),
    "brown": (140, 86, 75),
}
"""Names and values of matplotlib's tab10 colors, for the class map and its legend."""
_OTHERS = (127, 127, 127)


def occlusion_figure(
    grid: OcclusionGrid,
    photo: Image.Image,
    size: tuple[int, int],
    style: MapStyle,
    title: str,
    score: str,
    labels: Mapping[int, str],
    *,
    class_map: bool = False,
    wins: bool = True,
    photo_caption: str = "photo",
) -> Image.Image:
    """The map of the score's drop in the view of ``style``; ``raw`` has a pixel for each position of the patch.

    A panel also shows which class wins where the patch lies if more than one does and it says something that one
    ``wins``, or if ``class_map``.

    Args:
        grid: drop and winning class at each position of the patch.
        photo: what was occluded, of any size.
        size: height and width of the network's input.
        title: one line above a panel.
        score: what drops, in words, as ``probability``.
        labels: the name of each class of ``grid.classes``.
        photo_caption: under the photo in a panel.
    """
    if style.view == "raw":
        return style.draw(grid.score_drops[None, None], photo)
    attribution = grid.to_pixels(*size)[None, None]
    shows_classes = class_map or (wins and style.view == "panel" and len(grid.classes.unique()) > 1)
    extra = [winning_classes(grid.classes, photo, labels)] if shows_classes else []
    return style.draw(attribution, photo, title, f"drop of the {score}", extra, photo_caption=photo_caption)


def winning_classes(classes: Tensor, photo: Image.Image, labels: Mapping[int, str]) -> tuple[Image.Image, str]:
    """Which class wins where the patch's center lies, in colors over the pale photo, and the legend.

    Args:
        classes: (rows, columns), the index of the winning class for each position of the patch.
        photo: of any size.
        labels: the name of each class.

    The six most frequent classes have a color each; all others are gray.
    """
    values, counts = classes.unique(return_counts=True)
    winners = values[counts.argsort(descending=True, stable=True)].tolist()
    colored = np.full((*classes.shape, 3), _OTHERS, dtype=np.uint8)
    legend = []
    for winner, (name, color) in zip(winners, _COLORS.items(), strict=False):
        colored[(classes == winner).numpy()] = color
        legend.append(f"{name}: {labels[winner]}")
    over = Image.fromarray(colored).resize(photo.size, Image.Resampling.NEAREST)
    pale = ImageEnhance.Color(photo).enhance(0.2)
    more = "; gray: others" if len(winners) > len(_COLORS) else ""
    return Image.blend(pale, over, 0.5), "; ".join(legend) + more
