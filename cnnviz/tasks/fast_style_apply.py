"""Paints each image in one pass through a trained style network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cnnviz.errors import UsageError
from cnnviz.pipeline.config import ImageConfig
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.settings import setting
from cnnviz.tasks.shared.fast_style import FastStyleTask

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.pipeline.style_model import FastStyleAdapter
    from cnnviz.tasks.shared.style_choice import StyleChoice


@dataclass(frozen=True)
class FastStyleApply(FastStyleTask):
    """Each image in one style, or in a mixture of styles, of a ``FastStyleAdapter``.

    Attributes:
        mask_images: the masks, once they are read.
    """

    masks: tuple[str, ...] | None = setting(
        None, "White where to paint; repeated: where each style goes.", names=("--mask",), metavar="FILE"
    )
    feather: float = setting(
        0.01, "Softness of the masks' edges, as a fraction of the shorter side.", min=0, max=0.5, advanced=True
    )
    mask_images: Any = field(default=None, compare=False, repr=False)

    def with_files_read(self, config: ImageConfig) -> FastStyleApply:
        from cnnviz.imaging.decoding import read_pil_image
        from cnnviz.tasks.shared.style_files import read_masks

        masks = read_masks(
            self.masks, lambda path: read_pil_image(path, background=config.background, max_pixels=config.max_pixels)
        )
        return replace(self, style_images=self.read_styles(config), mask_images=masks)

    def require_masks(self, choices: Sequence[StyleChoice]) -> None:
        """Raise UsageError where there are several masks, and not one for each style."""
        if len(self.masks or ()) > 1 and len(self.masks or ()) != len(choices):
            count = len(choices)
            raise UsageError(f"{len(self.masks or ())} masks need as many styles, one for each; there are {count}.")

    def __call__(self, network: FastStyleAdapter, image: LoadedImage) -> Result:
        from cnnviz.imaging.pixels import to_pil_image

        if not hasattr(network, "network_of"):
            raise UsageError(
                "FastStyleApply paints with a style model: the network is to be a StyleModelConfig "
                "of cnnviz.pipeline.style_model."
            )
        if self.style_images is None:
            return self.with_files()(network, image)
        choices = self.choices(network.name)
        self.require_masks(choices)
        painted = self._painted(network, image, choices)
        total = sum(choice.weight for choice in choices)
        metadata: dict[str, Any] = {
            "style": {choice.label: choice.weight / total for choice in choices},
            "size": [painted.shape[3], painted.shape[2]],
        }
        return Result(metadata, to_pil_image(painted, clamp=True))

    def _painted(self, network: FastStyleAdapter, image: LoadedImage, choices: Sequence[StyleChoice]) -> Tensor:
        """The photo painted where its masks are white: by each style within its own, or by the blend within the one."""
        from cnnviz.style.compositing import composite, feathered
        from cnnviz.tasks.shared.style_files import framed_mask

        masks = [feathered(framed_mask(mask, image), self.feather) for mask in self.mask_images or ()]
        parts = [[replace(choice, weight=1)] for choice in choices] if len(masks) > 1 else [choices]
        paintings = [self.paint(network, image.pixels, part) for part in parts]
        return composite(image.pixels, paintings, masks or [None])
