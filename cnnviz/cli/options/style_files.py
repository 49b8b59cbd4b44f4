"""Which images a painting takes besides the photo: styles with their weights, masks, and where it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from cnnviz.cli.options.pictures import PaintingOptions
from cnnviz.errors import UsageError, shortened
from cnnviz.pipeline.parsing import real
from cnnviz.runtime.paths import is_file
from cnnviz.style.settings import StyleSettings
from cnnviz.tasks.style import NamedImage, StyleImage


@dataclass(frozen=True)
class StyleFile:
    """A style image's file and its weight, as typed: ``starry.jpg:2``."""

    path: Path
    weight: float = 1.0

    @classmethod
    def parse(cls, text: str) -> StyleFile:
        name, colon, weight = text.rpartition(":")
        if not colon or is_file(text):
            return cls(Path(text))
        value = real(weight)
        if value is None:
            if is_file(name):
                raise UsageError(f"'{shortened(weight)}' is no weight for the style '{name}'; give a number, as 2.")
            return cls(Path(text))
        return cls(Path(name), value)

    @property
    def typed(self) -> str:
        """What is typed for it."""
        return str(self.path) if self.weight == 1 else f"{self.path}:{self.weight:g}"


@dataclass
class StyleFileOptions:
    """The style images, masks, and the initial image."""

    style: Annotated[
        list[str] | None,
        typer.Option(
            "--style",
            "-S",
            help="Style image and its weight; may be repeated. All other images named are then contents.",
            metavar="FILE[:WEIGHT]",
        ),
    ] = None
    init: Annotated[
        str, typer.Option("--init", help="Begin with 'content', 'noise', or an image.", metavar="content|noise|FILE")
    ] = StyleSettings.init
    mask: Annotated[
        list[Path] | None,
        typer.Option("--mask", help="White where to paint; repeated: where each style goes.", metavar="FILE"),
    ] = None
    style_mask: Annotated[
        list[Path] | None,
        typer.Option("--style-mask", help="White in the part of a style to use; one for each style.", metavar="FILE"),
    ] = None

    @property
    def init_file(self) -> Path | None:
        """The file of the initial image, where it is neither content nor noise."""
        return None if self.init in ("content", "noise") else Path(self.init)

    def read(self, styles: Sequence[StyleFile], input: PaintingOptions) -> dict[str, Any]:
        """The images as fields of the task, read before any work is done for them."""
        from cnnviz.imaging.image_io import read_pil_image

        def read(path: Path) -> NamedImage:
            image = read_pil_image(path, background=input.background, max_pixels=input.max_pixels)
            return NamedImage(path.name, image)

        return {
            "styles": tuple(StyleImage(**vars(read(style.path)), weight=style.weight) for style in styles),
            "masks": tuple(_mask(read(path), path) for path in self.mask or ()),
            "style_masks": tuple(_mask(read(path), path) for path in self.style_mask or ()),
            "init": read(self.init_file) if self.init_file else None,
        }


def _mask(mask: NamedImage, path: Path) -> NamedImage:
    if mask.image.convert("L").getextrema()[1] == 0:
        raise UsageError(f"The mask '{path}' is black all over: it leaves nothing to paint.")
    return mask


def contents_and_styles(
    input: PaintingOptions, styles: Sequence[str] | None
) -> tuple[PaintingOptions, list[StyleFile]]:
    """The photos to paint and the styles: the first image and all others, or what --style names."""
    if styles is None:
        named = list(input.images or [])
        if input.files_from is None and len(named) < 2:
            raise UsageError("Name a content and at least one style: cnnviz style photo.jpg starry.jpg.")
        contents = 0 if input.files_from is not None else 1
        input, styles = replace(input, images=named[:contents]), named[contents:]
        if not styles:
            raise UsageError("Name at least one style, as in --style starry.jpg.")
    return input, [StyleFile.parse(text) for text in styles]
