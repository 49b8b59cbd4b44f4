"""The images that a painting takes besides the photo: styles with their weights, masks, and where it begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cnnviz.errors import UsageError, shortened
from cnnviz.pipeline.parsing import real
from cnnviz.runtime.paths import is_file

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.pipeline.result import LoadedImage

    Read = Callable[[Path], Image]


@dataclass(frozen=True)
class StyleFile:
    """A style image's file and its weight, as typed: ``starry.jpg:2``."""

    path: Path
    weight: float = 1.0

    @classmethod
    def parse(cls, text: str) -> StyleFile:
        """The file and weight that a text means; UsageError where a file is followed by something else."""
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
        return self._with_weight(str(self.path))

    @property
    def label(self) -> str:
        """What results call it."""
        return self._with_weight(self.path.name)

    def _with_weight(self, name: str) -> str:
        return name if self.weight == 1 else f"{name}:{self.weight:g}"


@dataclass(frozen=True)
class StyleImages:
    """The images that a painting takes besides the photo, as they were read; ``init`` is None for no file.

    ``files`` are those of the styles: whether a colon is part of a name is known where the files are.
    """

    files: Sequence[StyleFile]
    styles: Sequence[Image]
    masks: Sequence[Image]
    style_masks: Sequence[Image]
    init: Image | None


def read_masks(files: Sequence[str] | None, read: Read) -> list[Image]:
    """The masks in some files; UsageError for one that is black all over."""
    masks = [read(Path(name)) for name in files or ()]
    for name, mask in zip(files or (), masks, strict=True):
        if mask.convert("L").getextrema()[1] == 0:
            raise UsageError(f"The mask '{name}' is black all over: it leaves nothing to paint.")
    return masks


def framed_mask(mask: Image, photo: LoadedImage) -> Tensor:
    """A mask of what the network sees of the photo, (1, 1, H, W) in [0, 1]."""
    from cnnviz.imaging.pixels import to_pixels

    height, width = photo.pixels.shape[2:]
    size = photo.size if photo.crop else (height, width)
    return lightness(to_pixels(mask, size, photo.crop))


def lightness(pixels: Tensor) -> Tensor:
    """The mean of the colors, (N, 1, H, W), of pixels (N, 3, H, W)."""
    return pixels.mean(1, keepdim=True)
