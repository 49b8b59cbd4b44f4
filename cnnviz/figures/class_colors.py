"""A color for each class of a map of images, distinct from all others, and the same from one map to the next."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

# Okabe & Ito's palette, made to be distinct for the color-blind too, without its black, which the text has. Then colors
# as far as possible, in CIELAB, from those before them and from white, black and gray.
_PALETTE = """
0072b2 d55e00 009e73 cc79a7 e69f00 56b4e9 f0e442 690f96 5a5a00 f02d5a 4ba50f 782d1e
3c78ff ffa587 c3d287 ff69e1 00f096 87004b 5ae1e1 5a3c69 b4a5ff 006969 0f3c96 005a0f
"""
_COLORS = tuple(_PALETTE.split())
OTHER = "#b5b5b5"
"""The color of all classes that ``class_colors`` leaves out."""


ELSEWHERE = "#303030"
"""The color of the corner of an image whose predicted class has no color of its own."""


def class_colors(classes: Sequence[str], order: Sequence[str] = ()) -> dict[str, str]:
    """The color, as ``#rrggbb``, of each of the 24 most frequent classes.

    Args:
        classes: of each image.
        order: all classes that there may be, in the order of the colors; the alphabet's (with numbers in theirs) if
            empty. Of at most 24 each has its color whether or not there is an image of it.
    """
    frequent = sorted(Counter(classes).items(), key=lambda pair: (-pair[1], pair[0]))[: len(_COLORS)]
    places = {name: place for place, name in enumerate(order)}
    chosen = sorted((name for name, _ in frequent), key=lambda name: (places.get(name, len(places)), _natural(name)))
    has_own = len(places) <= len(_COLORS) and all(name in places for name in chosen)
    slots = [places[name] for name in chosen] if has_own else range(len(chosen))
    return {name: f"#{_COLORS[slot]}" for name, slot in zip(chosen, slots, strict=True)}


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key by which ``class 9`` precedes ``class 10``."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"([0-9]{1,9})", name)]


def limited_classes(classes: Sequence[str], order: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
    """The class of each image with all but the 24 most frequent replaced by one, and the color of each class.

    ``order`` is as in ``class_colors``.
    """
    colors = class_colors(classes, order)
    rest = len(set(classes)) - len(colors)
    if rest <= 0:
        return list(classes), colors
    other = f"{rest} other classes"
    return [name if name in colors else other for name in classes], {**colors, other: OTHER}
