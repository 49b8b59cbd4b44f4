"""A color for each class of a map of images, distinct from all others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

# Okabe & Ito's palette, made to be distinct for the color-blind too, without its black, which the text has. Then colors
# as far as possible, in CIELAB, from those before them and from white, black and gray.
_COLORS = """
0072b2 d55e00 009e73 cc79a7 e69f00 56b4e9 f0e442 690f96 5a5a00 f02d5a 4ba50f 782d1e
3c78ff ffa587 c3d287 ff69e1 00f096 87004b 5ae1e1 5a3c69 b4a5ff 006969 0f3c96 005a0f
"""
OTHER = "#b5b5b5"
"""For all classes that ``class_colors`` leaves out."""


def class_colors(classes: Sequence[str]) -> dict[str, str]:
    """The color, as ``#rrggbb``, of each of the 24 most frequent classes, most frequent first."""
    ranked = [name for name, _ in sorted(Counter(classes).items(), key=lambda pair: (-pair[1], pair[0]))]
    return {name: f"#{code}" for name, code in zip(ranked, _COLORS.split(), strict=False)}


def limited_classes(classes: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The class of each image with all but the 24 most frequent replaced by one, and the color of each class."""
    colors = class_colors(classes)
    rest = len(set(classes)) - len(colors)
    if rest <= 0:
        return list(classes), colors
    other = f"{rest} other classes"
    return [name if name in colors else other for name in classes], {**colors, other: OTHER}
