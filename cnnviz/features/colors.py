"""A colour for each class of a map, far enough apart to be told from each other."""

from __future__ import annotations

import colorsys
from collections import Counter
from collections.abc import Sequence

# Okabe & Ito's palette, made to be told apart by the colour-blind too; its black is left to the text.
_FIRST = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442"]
_MOST = 24
OTHER = "#b5b5b5"
"""For all classes that ``class_colors`` leaves out."""


def class_colors(classes: Sequence[str]) -> dict[str, str]:
    """A colour code for each of the two dozen most frequent classes, most frequent first."""
    ranked = [name for name, _ in sorted(Counter(classes).items(), key=lambda pair: (-pair[1], pair[0]))]
    return {name: _color(rank) for rank, name in enumerate(ranked[:_MOST])}


def _color(rank: int) -> str:
    if rank < len(_FIRST):
        return _FIRST[rank]
    step = rank - len(_FIRST)
    # Steps of the golden angle never come near an earlier hue; lightness alternates besides.
    red, green, blue = colorsys.hls_to_rgb((0.11 + 0.381966 * step) % 1.0, (0.38, 0.62)[step % 2], 0.75)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
