"""Paints an image in many styles, on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.settings import setting
from cnnviz.style.catalogue import MODELS
from cnnviz.tasks.shared.fast_style import FastStyleTask
from cnnviz.tasks.shared.style_choice import StyleChoice

if TYPE_CHECKING:
    from cnnviz.pipeline.style_model import FastStyleAdapter


@dataclass(frozen=True)
class FastStyleSheet(FastStyleTask):
    """A sheet for each image: the photo, and its painting in each style, by those of a ``FastStyleAdapter``."""

    columns: int = setting(6, "Paintings in a row.", min=1, max=100)
    thumbnail: int = setting(320, "Longer side of each painting on the sheet, in pixels.", min=32, max=4096)

    def default_choices(self, known: Sequence[str] | None) -> list[StyleChoice]:
        """All styles of a model; of all that come with cnnviz where None is known."""
        if known is None:
            known = [name for model in MODELS.values() for name in model.styles]
        return [StyleChoice(name) for name in known] or super().default_choices(known)

    def __call__(self, network: FastStyleAdapter, image: LoadedImage) -> Result:
        from cnnviz.figures.style import style_sheet
        from cnnviz.imaging.pixels import to_pil_image
        from cnnviz.runtime.cancellation import check_cancelled

        if self.style_images is None:
            return self.with_files()(network, image)
        paintings = {}
        for choice in self.choices(network.name):
            check_cancelled()
            painted = self.paint(network, image.pixels, [replace(choice, weight=1)])
            paintings[choice.label] = to_pil_image(painted, clamp=True)
        photo = to_pil_image(image.pixels, clamp=True)
        sheet = style_sheet(photo, paintings, self.columns, self.thumbnail)
        return Result({"styles": list(paintings), "size": list(sheet.size)}, sheet)
