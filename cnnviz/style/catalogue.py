"""The styles that come with cnnviz: which model has them, and what each looks like. Imports no torch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cnnviz.errors import UsageError

_BUNDLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True)
class StyleModel:
    """A model that comes with cnnviz: its file, a title, and its styles with a line about each.

    The model that takes any image has none.
    """

    file: Path
    title: str
    styles: dict[str, str]


OWN = "embedded"
GOOGLE26 = "styles26"
ANY = "any"

MODELS = {
    OWN: StyleModel(
        _BUNDLED / "styles.safetensors",
        "cnnviz's own",
        {
            "starry": "swirls of blue night and yellow stars",
            "mosaic": "small tiles of warm and sea colors",
            "ink": "brush and black ink on paper",
        },
    ),
    GOOGLE26: StyleModel(
        _BUNDLED / "styles26.safetensors",
        "26 styles by Google (Magenta)",
        {
            "sunlit": "warm yellow and pale blue, soft brush",
            "stencil": "yellow and white fields, thick black outlines",
            "misty": "pale blue and peach, soft dark edges",
            "confetti": "bright dashes of red, blue and cyan on black",
            "poster": "wine red, yellow and sky blue, flat",
            "autumn": "orange, red and slate blue, lively brush strokes",
            "indigo": "dark violet blue, speckled",
            "glow": "yellow, red and blue glowing on black",
            "watercolor": "white paper, washes of pink, yellow and teal",
            "pebbles": "small patches of teal and rose on white",
            "copper": "brown and copper, fine hatching",
            "etching": "brown pen lines on ochre and pale gray",
            "haze": "soft strokes of violet, yellow and pale blue",
            "jungle": "lime, teal and red, dark outlines",
            "frost": "pale ice blue, thin pencil lines",
            "stained-glass": "pale shards with thin dark outlines",
            "crayon": "blue, violet and olive crayon hatching",
            "bricks": "a weave of red, orange and blue bars: all pattern",
            "woodcut": "brown cuts on pale olive",
            "moonlight": "navy blue and yellow, fine hatching",
            "ember": "deep red on black",
            "cutout": "pink, pale blue and black paper shapes",
            "fresco": "cream, lavender and red, dark brush outlines",
            "twilight": "dark green and pale sky, very soft",
            "lithograph": "navy ink on cream paper",
            "tapestry": "dense short strokes of rust and dark blue",
        },
    ),
    ANY: StyleModel(_BUNDLED / "any.safetensors", "any image as a style, by Google (Magenta)", {}),
}
"""The models by their names."""

DEFAULT_STYLE = "autumn"
"""The style that is painted where none is named: of all, the best looking on most photos."""


def model_of(style: str) -> str:
    """The model that has a style.

    Raises:
        UsageError: none has; the message has the nearest names.
    """
    for name, model in MODELS.items():
        if style in model.styles:
            return name
    raise unknown_style(style, [known for model in MODELS.values() for known in model.styles])


def unknown_style(style: str, known: Sequence[str]) -> UsageError:
    """The error for a style that is not among those known: it names the nearest, or all where they are few."""
    few = 8
    near = _nearest(style, known) if len(known) > few else known
    names = f"there {'is' if len(known) == 1 else 'are'} {', '.join(near)}" if len(known) <= few else _likely(near)
    return UsageError(f"There is no style '{style[:60]}'; {names}.", remedy="list_styles")


def _likely(near: Sequence[str]) -> str:
    return f"the nearest {'is' if len(near) == 1 else 'are'} {', '.join(near)}"


def _nearest(style: str, known: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(style.lower(), list(known), n=3, cutoff=0.0)
