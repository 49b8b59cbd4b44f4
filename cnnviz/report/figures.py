"""The pictures of a report: each with what it shows and the recipe that makes it again, inlined in the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from torch import Tensor

from cnnviz.imaging.encoding import encode
from cnnviz.network.network import Network

_LARGEST = 720  # pixels; the longer side of a photo on the page, where it is at most half as wide
_QUALITY = 82


@dataclass(frozen=True)
class Study:
    """One picture under study.

    ``name``: its file's, without folders; ``photo``: as the network frames it, at its own resolution; ``pixels``:
    (1, 3, H, W) in [0, 1], what the network sees; ``recipe``: what all recipes of its figures have in common (version,
    inputs, model, weights, seed, and the parameters that frame the picture).
    """

    network: Network
    name: str
    photo: Image.Image
    pixels: Tensor
    recipe: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    @property
    def shown(self) -> Image.Image:
        """The photo at the size it has on the page."""
        factor = _LARGEST / max(self.photo.size)
        if factor >= 1:
            return self.photo
        width, height = (max(1, round(side * factor)) for side in self.photo.size)
        return self.photo.resize((width, height), Image.Resampling.LANCZOS)

    def recipe_of(self, command: str, target: int | None = None, **parameters: Any) -> dict[str, Any]:
        """The recipe of a figure that ``command`` makes; ``target`` is the index of the class it is about."""
        common = dict(self.recipe)
        settings = {**common.pop("parameters", {}), **parameters}
        about = {"target": {"index": target, "label": self.network.label(target)}} if target is not None else {}
        return {**common, "command": command, "parameters": settings, **about}


@dataclass(frozen=True)
class Figure:
    """A picture on the page.

    ``title`` names it; ``note`` says in a sentence what it shows, ``caution`` when it misleads; ``recipe`` makes it
    again. ``exact`` figures are inlined without loss: their pixels are what the text speaks of.
    """

    title: str
    image: Image.Image
    note: str = ""
    caution: str = ""
    recipe: Mapping[str, Any] | None = None
    exact: bool = False

    @property
    def uri(self) -> str:
        """The picture as a ``data:`` address; its recipe is in its metadata, for ``cnnviz info``."""
        format, kind = ("png", "image/png") if self.exact else ("webp", "image/webp")
        recipe = dict(self.recipe) if self.recipe is not None else None
        content = encode(self.image, format, recipe, _QUALITY)
        return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.size
