"""An image that a report is about, with its predictions and the recipe that its figures share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from torch import Tensor

from cnnviz.attribution.targets import Against, Contrast
from cnnviz.network.network import Network
from cnnviz.network.prediction import Prediction
from cnnviz.network.targets import TargetFunction

_LARGEST = 720  # pixels; the longer side of a photo on the page, where it is at most half as wide


@dataclass(frozen=True)
class ReportInput:
    """One image and the network that is asked about it.

    Attributes:
        network: the network under subject.
        name: the image file's name, without folders.
        photo: the image as the network frames it, at its own resolution.
        pixels: (1, 3, H, W) in [0, 1], what the network sees.
        recipe: what all recipes of its figures have in common: version, inputs, model, weights, seed, and the
            parameters that frame the image; None for an image that no command makes figures of.
        seed: of everything random.
        true: the class that the image is truly of, with the score that the network gives it; None if it is not known.
        caption: what the photo is, which shows some channels where it is none.
    """

    network: Network
    name: str
    photo: Image.Image
    pixels: Tensor
    recipe: Mapping[str, Any] | None = field(default_factory=dict)
    seed: int = 0
    true: Prediction | None = None
    caption: str = "photo"

    @property
    def page_photo(self) -> Image.Image:
        """The photo at the size it has on the page, at most 720 pixels wide and high."""
        factor = _LARGEST / max(self.photo.size)
        if factor >= 1:
            return self.photo
        width, height = (max(1, round(side * factor)) for side in self.photo.size)
        return self.photo.resize((width, height), Image.Resampling.LANCZOS)

    def recipe_of(
        self, command: str, target: int | TargetFunction | None = None, **parameters: Any
    ) -> dict[str, Any] | None:
        """The recipe of a figure that ``command`` makes.

        ``target`` is what it explains: a class, what speaks against it, or why it and not another.
        """
        if self.recipe is None:
            return None
        common = dict(self.recipe)
        versus = {"versus": str(target.other)} if isinstance(target, Contrast) else {}
        settings = {**common.pop("parameters", {}), **versus, **parameters}
        return {**common, "command": command, "parameters": settings, **self._about(target)}

    def _about(self, target: int | TargetFunction | None) -> dict[str, Any]:
        if isinstance(target, Against):
            return {"target": {"index": target.index, "label": self.network.label(target.index), "against": True}}
        if isinstance(target, Contrast):
            target = target.index
        return {"target": {"index": target, "label": self.network.label(target)}} if isinstance(target, int) else {}
