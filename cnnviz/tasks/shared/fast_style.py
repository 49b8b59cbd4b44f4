"""What tasks that paint in one pass have in common: the styles, how strong they are, and whose colors remain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cnnviz.errors import ImageError, Remark, UsageError, listed
from cnnviz.pipeline.config import ImageConfig
from cnnviz.pipeline.style_model import known_styles
from cnnviz.settings import setting
from cnnviz.style.catalogue import ANY
from cnnviz.style.settings import COLOR_MODES, LEAST_STYLE_SIZE, STYLE_SIZE
from cnnviz.synthesis.settings import require_choice
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.style_choice import AUTO, StyleChoice, default_choice, model_with, parse_styles

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.pipeline.style_model import FastStyleAdapter
    from cnnviz.style.fast import FastStyleNetwork

Task = TypeVar("Task", bound="FastStyleTask")

_FLAT = 1 / 255
"""Deviation of colors below which an image is of one color."""


@dataclass(frozen=True)
class FastStyleTask(TaskDefaults):
    """Painting in one pass by the networks of a ``FastStyleAdapter``.

    Attributes:
        style_images: the images of the styles that are files, by their names, once they are read.
    """

    purpose = "style"

    style: tuple[str, ...] | None = setting(
        None,
        "A style's name or an image, or several to blend, as starry:0.7,ink:0.3; may be repeated.",
        names=("--style", "-S"),
        metavar="NAME|FILE[:WEIGHT]",
        show_default="autumn, or the model's first",
    )
    style_size: int = setting(
        STYLE_SIZE,
        "Shorter side at which an image is seen as a style; smaller makes finer strokes.",
        min=LEAST_STYLE_SIZE,
        max=4096,
    )
    strength: float = setting(1.0, "How strong the style is; 0 leaves the photo's own.", min=0, max=1)
    keep_color: str = setting(
        "none", "Keep the photo's colors: take lightness only, or recolor the style.", choices=COLOR_MODES
    )
    tile: int | None = setting(
        None,
        "Paint in tiles of at most this side, in pixels.",
        min=64,
        metavar="N",
        show_default="1024, beyond 4 megapixels",
    )
    style_images: Any = field(default=None, compare=False, repr=False)
    seed: int = 0

    def __post_init__(self) -> None:
        require_choice("keep_color", self.keep_color, COLOR_MODES)
        if not 0 <= self.strength <= 1:
            raise UsageError(f"The strength of a style lies between 0 and 1, and is not {self.strength}.")

    @property
    def batchable(self) -> bool:
        return False

    def choices(self, model: str) -> list[StyleChoice]:
        """The styles meant, of a model or of ``auto``.

        Raises:
            UsageError: a style cannot be read, is unknown, or is not of this model.
            ModelError: the model's file is missing, or no style model.
        """
        known = known_styles(model)
        found = parse_styles(self.style) if self.style else self.default_choices(known)
        for choice in found:
            model_with(choice, model, known)
        return found

    def default_choices(self, known: Sequence[str] | None) -> list[StyleChoice]:
        """The styles where none is named, of a model with the styles ``known``, or of all (None)."""
        return [default_choice(known)]

    def narrowed(self, model: str) -> str:
        """The one model that has all styles meant; ``auto`` where they are of several."""
        models = _models(self.choices(model), model)
        return models.pop() if len(models) == 1 else AUTO

    def require_one_model(self, model: str) -> None:
        """Raise UsageError where styles that are to be blended are of several models."""
        _one_model(self.choices(model), model)

    def with_files(self: Task) -> Task:
        return self if self.style_images is not None else self.with_files_read(ImageConfig())

    def with_files_read(self: Task, config: ImageConfig) -> Task:
        """The task with the images read that its styles name."""
        return replace(self, style_images=self.read_styles(config))

    def read_styles(self, config: ImageConfig) -> dict[str, Image]:
        """The images that styles name, by their names.

        Raises:
            ImageError: one cannot be read, or is too small.
        """
        from cnnviz.imaging.decoding import read_pil_image

        images: dict[str, Image] = {}
        for choice in parse_styles(self.style) if self.style else []:
            if choice.is_image:
                image = read_pil_image(Path(choice.name), background=config.background, max_pixels=config.max_pixels)
                if min(image.size) < 16:
                    size = f"{image.width}×{image.height}"
                    raise ImageError(f"The style '{choice.label}' has {size} pixels; both sides need 16.")
                images[choice.name] = image
        return images

    def flat_styles(self) -> list[Remark]:
        """A remark on each style image that is of one color, and has no strokes to take."""
        from cnnviz.imaging.pixels import to_pixels
        from cnnviz.style.any_style import contrast

        flat = [name for name, image in (self.style_images or {}).items() if contrast(to_pixels(image)) < _FLAT]
        return [
            Remark(f"The style '{Path(name).name}' is of one color: there are no strokes to take.") for name in flat
        ]

    def paint(self, networks: FastStyleAdapter, photo: Tensor, choices: Sequence[StyleChoice]) -> Tensor:
        """The photo (1, 3, H, W) painted in a blend of styles of one model, with strength and colors as set.

        Raises:
            UsageError: the styles are of several models.
        """
        from cnnviz.style.compositing import keep_colors
        from cnnviz.style.inference import apply_fast_style

        model = _one_model(choices, networks.name)
        weights = {choice.name: choice.weight for choice in choices}
        if model == ANY:
            network, weights = self._any_network(networks, photo, weights)
        else:
            network = networks.network_of(model)
        painted = apply_fast_style(network, photo, weights, tile=self.tile, seed=self.seed)
        is_recolored = model == ANY and self.keep_color == "covariance"
        painted = painted if is_recolored else keep_colors(painted, photo, self.keep_color)
        return painted if model == ANY else photo.lerp(painted, self.strength)

    def _any_network(
        self, networks: FastStyleAdapter, photo: Tensor, weights: dict[str, float]
    ) -> tuple[FastStyleNetwork, dict[str, float]]:
        """A network with the styles of some images and the photo's own, and the weight of each."""
        vectors = [self._style_vector(networks, photo, name) for name in weights]
        named = dict(zip((f"style-{number}" for number in range(len(weights))), weights.values(), strict=True))
        found = dict(zip(named, vectors, strict=True))
        if self.strength < 1:
            total = sum(named.values())
            named = {name: weight / total * self.strength for name, weight in named.items()}
            found["photo"], named["photo"] = networks.any_style.style_vector(photo, self.style_size), 1 - self.strength
        return networks.any_style.with_styles(found), named

    def _style_vector(self, networks: FastStyleAdapter, photo: Tensor, name: str) -> Tensor:
        from cnnviz.imaging.pixels import to_pixels
        from cnnviz.style.color import match_colors

        image = self.style_images[name]
        if self.keep_color != "covariance":
            return networks.style_vector(image, self.style_size)
        recolored = match_colors(to_pixels(image), photo.cpu()).to(photo.dtype)
        return networks.any_style.style_vector(recolored, self.style_size)


def _models(choices: Sequence[StyleChoice], model: str) -> set[str]:
    known = known_styles(model)
    return {model_with(choice, model, known) for choice in choices}


def _one_model(choices: Sequence[StyleChoice], model: str) -> str:
    """The one model that has all the styles; UsageError if they are of several."""
    models = _models(choices, model)
    if len(models) > 1:
        names = listed([choice.label for choice in choices])
        raise UsageError(f"{names} are styles of different models, which cannot be blended.", remedy="each_style")
    return models.pop()
