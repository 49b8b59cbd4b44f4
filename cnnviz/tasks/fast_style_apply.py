"""Paints each image in one pass through a trained style network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnviz.errors import UsageError, shortened
from cnnviz.pipeline.parsing import real
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.settings import setting
from cnnviz.tasks.shared.base import TaskDefaults

if TYPE_CHECKING:
    from cnnviz.pipeline.style_model import FastStyleAdapter


@dataclass(frozen=True)
class FastStyleApply(TaskDefaults):
    """Each image in one style, or in a mixture of styles, of a ``FastStyleAdapter``."""

    purpose = "style"

    style: str | None = setting(
        None,
        "A style's name, or several with weights, as starry:0.7,ink:0.3.",
        metavar="NAME[:WEIGHT],...",
        show_default="the model's first",
    )
    tile: int | None = setting(
        None,
        "Paint in tiles of at most this side, in pixels.",
        min=64,
        metavar="N",
        show_default="1024, beyond 4 megapixels",
    )
    seed: int = 0

    @property
    def batchable(self) -> bool:
        return False

    def weights_of(self, known: Sequence[str]) -> dict[str, float]:
        """The weight of each style meant, of a model with the styles ``known``.

        Raises:
            UsageError: ``style`` cannot be read, a style is unknown, or all weights are 0.
        """
        weights = parse_styles(self.style) if self.style else {known[0]: 1.0}
        for name in weights:
            if name not in known:
                raise UsageError(f"There is no style '{name}'; the model has {', '.join(known)}.")
        if sum(weights.values()) <= 0:
            raise UsageError("The weights of styles are all zero; one of them must be positive.")
        return weights

    def __call__(self, network: FastStyleAdapter, image: LoadedImage) -> Result:
        from cnnviz.imaging.pixels import to_pil_image
        from cnnviz.style.inference import apply_fast_style

        if not hasattr(network, "network"):
            raise UsageError(
                "FastStyleApply paints with a style model: the network is to be a StyleModelConfig "
                "of cnnviz.pipeline.style_model."
            )
        weights = self.weights_of(network.network.styles)
        painted = apply_fast_style(network.network, image.pixels, weights, tile=self.tile, seed=self.seed)
        total = sum(weights.values())
        metadata: dict[str, Any] = {
            "style": {name: weight / total for name, weight in weights.items()},
            "size": [painted.shape[3], painted.shape[2]],
        }
        return Result(metadata, to_pil_image(painted, clamp=True))


def parse_styles(text: str) -> dict[str, float]:
    """``mosaic`` or ``starry:0.7,ink:0.3`` as weights by name; UsageError for anything else."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, colon, weight = part.strip().partition(":")
        value = real(weight) if colon else 1.0
        if not name or name in found or value is None or value < 0:
            raise UsageError(f"'{shortened(text)}' names no style, nor styles with weights.", remedy="style_weights")
        found[name] = value
    return found
