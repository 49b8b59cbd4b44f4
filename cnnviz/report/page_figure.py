"""A figure of a report's page: an image, what is said about it, and its recipe."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from cnnviz.imaging.encoding import encode

_QUALITY = 82  # of WebP


@dataclass(frozen=True)
class PageFigure:
    """An image on the page.

    Attributes:
        title: its name.
        image: any mode.
        note: a sentence on what it shows.
        caveat: a sentence on when it misleads.
        recipe: what makes it again.
        exact: whether it is inlined without loss, because the text describes its very pixels.
    """

    title: str
    image: Image.Image
    note: str = ""
    caveat: str = ""
    recipe: Mapping[str, Any] | None = None
    exact: bool = False

    @property
    def uri(self) -> str:
        """The image as a ``data:`` URI, with the recipe in its metadata."""
        format, kind = ("png", "image/png") if self.exact else ("webp", "image/webp")
        recipe = dict(self.recipe) if self.recipe is not None else None
        content = encode(self.image, format, recipe, _QUALITY)
        return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.size
