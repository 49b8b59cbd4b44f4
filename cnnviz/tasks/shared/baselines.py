"""Photos that an image is compared with: a folder of them, read as pixels of one size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

_SIDE = 256
_MOST = 200
"""Photos that are read, the first by name: more take memory and change little."""


def read_baselines(folder: str) -> Tensor:
    """The photos in ``folder`` as pixels (B, 3, side, side), each cut to its central square; UsageError for none."""
    import torch

    from cnnviz.imaging.image_io import read_image
    from cnnviz.pipeline.config import ImageConfig
    from cnnviz.pipeline.inputs import expand

    sources = expand(ImageConfig([folder]))[:_MOST]
    found = [read_image(source.content(), _SIDE, True) for source in sources]
    shapes = {tuple(pixels.shape) for pixels in found}
    if len(shapes) > 1:
        raise UsageError(f"The images in '{folder}' have different channels, so they are no baselines of one network.")
    return torch.cat(found)
