"""A colour for each class of a map, far enough apart to be told from each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

# Okabe & Ito's palette, made to be told apart by the colour-blind too; its black is left to the text. Then colours
# as far as can be, in CIELAB, from those before them and from paper, ink and grey.
_COLORS = """
0072b2 d55e00 009e73 cc79a7 e69f00 56b4e9 f0e442 690f96 5a5a00 f02d5a 4ba50f 782d1e
3c78ff ffa587 c3d287 ff69e1 00f096 87004b 5ae1e1 5a3c69 b4a5ff 006969 0f3c96 005a0f
"""
OTHER = "#b5b5b5"
"""For all classes that ``class_colors`` leaves out."""


def class_colors(classes: Sequence[str]) -> dict[str, str]:
    """A colour code for each of the two dozen most frequent classes, most frequent first."""
    ranked = [name for name, _ in sorted(Counter(classes).items(), key=lambda pair: (-pair[1], pair[0]))]
    return {name: f"#{code}" for name, code in zip(ranked, _COLORS.split(), strict=False)}
