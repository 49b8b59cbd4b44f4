"""Text in figures: the typeface, and text wrapped and shortened to a width."""

from __future__ import annotations

import math
import unicodedata
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

TITLE_COLOR, CAPTION_COLOR = "#1a1a1a", "#444444"
"""Near-black of titles, and dark gray of captions and labels."""

_NO_GLYPH = "\uffff"  # a code point no typeface has: drawn as its box for missing glyphs
_ASCII_FALLBACK = str.maketrans(
    {
        "×": "x",
        "−": "-",
        "–": "-",
        "—": "-",
        "→": "->",
        "←": "<-",
        "≥": ">=",
        "≤": "<=",
        "≈": "~",
        "σ": "sigma",
    }
    | {
        "ε": "eps",
        "μ": "u",
        "…": "...",
        "•": "·",
        "ß": "ss",
        "ø": "o",
        "Ø": "O",
        "ł": "l",
        "Ł": "L",
        "æ": "ae",
    }
)


class Typeface:
    """A typeface at any size; a character that it lacks is spelled in others or replaced by a question mark.

    Args:
        path: of a TrueType file; None takes Pillow's own typeface, which has few characters beyond ASCII.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    @classmethod
    def default(cls) -> Typeface:
        """The typeface of all figures: matplotlib's copy of DejaVu Sans, or Pillow's own where that is missing."""
        return cls(_dejavu())

    def font(self, size: int) -> Any:
        """The typeface at a size in pixels, as ``PIL.ImageDraw`` takes it."""
        return _font(self._path, size)

    def to_supported(self, text: str) -> str:
        """The text in one line, characters that the typeface lacks replaced."""
        line = " ".join(text.split())
        missing = self.missing(line)
        return "".join(self._replace(char) if char in missing else char for char in line)

    def missing(self, text: str) -> set[str]:
        """The characters of the text that the typeface lacks, white space apart."""
        return {char for char in set(text) if not char.isspace() and not _has_glyph(char, self._path)}

    def _replace(self, char: str) -> str:
        for attempt in (char.translate(_ASCII_FALLBACK), unicodedata.normalize("NFKD", char)):
            kept = "".join(part for part in attempt if not unicodedata.combining(part))
            if kept and not self.missing(kept):
                return kept
        return "" if unicodedata.category(char)[0] in "MC" else "?"

    def fit(self, text: str, size: int, width: float, lines: int = 1) -> list[str]:
        """The text broken at spaces into at most ``lines`` lines of ``width`` pixels; ``...`` ends text that is cut."""
        font, rest = self.font(size), self.to_supported(text)
        done: list[str] = []
        while rest and len(done) < lines - 1:
            line, rest = _split(rest, font, width)
            done.append(line)
        return [*done, _shorten(rest, font, width)] if rest else done


def write(sheet: Image.Image, at: tuple[float, float], text: str, color: str, font: Any, anchor: str = "la") -> None:
    """Write a line on a figure, as ``ImageDraw.text`` does; lines that many figures have are drawn once."""
    whole = math.floor(at[0]), math.floor(at[1])
    mask, (left, top) = _line_mask(text, font, anchor, at[0] - whole[0], at[1] - whole[1])
    sheet.paste(color, (whole[0] + left, whole[1] + top), mask)


@lru_cache(maxsize=256)
def _line_mask(text: str, font: Any, anchor: str, right: float, down: float) -> tuple[Image.Image, tuple[int, int]]:
    """A line as a mask, written so far to the right and below its place; and where the mask's corner goes."""
    left, top, beyond, bottom = font.getbbox(text, anchor=anchor)
    corner = math.floor(left) - 2, math.floor(top) - 2
    size = math.ceil(beyond) + 3 - corner[0], math.ceil(bottom) + 3 - corner[1]
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).text((right - corner[0], down - corner[1]), text, 255, font, anchor)
    return mask, corner


def _split(text: str, font: Any, width: float) -> tuple[str, str]:
    """As many whole words as fit, and the rest; a word longer than the line is broken."""
    if font.getlength(text) <= width:
        return text, ""
    fitting = _longest_start(text, font, width)
    at = text.rfind(" ", 0, fitting + 1)
    at = at if at > 0 else max(fitting, 1)
    return text[:at].rstrip(), text[at:].lstrip()


def _shorten(text: str, font: Any, width: float) -> str:
    if font.getlength(text) <= width:
        return text
    return text[: _longest_start(text, font, width - font.getlength("..."))].rstrip() + "..."


def _longest_start(text: str, font: Any, width: float) -> int:
    """How many characters of the text fit in the width, by bisection."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(text[:middle]) <= width else (low, middle - 1)
    return low


@cache
def _font(path: Path | None, size: int) -> Any:
    return ImageFont.load_default(size) if path is None else ImageFont.truetype(str(path), size)


@cache
def _dejavu() -> Path | None:
    """Where matplotlib keeps DejaVu Sans, found without importing it; None if it is not there."""
    spec = find_spec("matplotlib")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder, "mpl-data", "fonts", "ttf", "DejaVuSans.ttf")
        if path.is_file():
            return path
    return None


@cache
def _has_glyph(char: str, path: Path | None) -> bool:
    if char.isascii() and char.isprintable():
        return True
    font = _font(path, 24)
    return bytes(font.getmask(char)) != bytes(font.getmask(_NO_GLYPH))
