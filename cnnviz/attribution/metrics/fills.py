"""What replaces hidden pixels, in two halves of twelve fills: one chooses among maps, the other measures the choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.imaging.image_io import read_image
from cnnviz.imaging.pixel_ops import gaussian_blur, resize

Hide = Callable[[Tensor], Tensor]
"""A function from what is kept, booleans (B, 1, H, W), to images (B, C, H, W)."""


@dataclass(frozen=True)
class Fill:
    """A way to hide parts of an image.

    Attributes:
        name: what it is, in a few words.
        kind: what it has in common with others; a map made with fills of a kind is not measured by that kind.
        prepare: ``prepare(image, generator)`` makes of an image (1, C, H, W) in [0, 1] the function that hides.
    """

    name: str
    kind: str
    prepare: Callable[[Tensor, torch.Generator], Hide]


def _static(make: Callable[[Tensor, torch.Generator], Tensor]) -> Callable[[Tensor, torch.Generator], Hide]:
    """A fill that shows the same thing (1, C, H, W) whatever is hidden."""

    def prepare(image: Tensor, generator: torch.Generator) -> Hide:
        shown = make(image, generator).to(image).clamp(0, 1)
        return lambda keep: torch.where(keep, image, shown)

    return prepare


def _mean(image: Tensor, generator: torch.Generator) -> Tensor:
    return image.mean((2, 3), keepdim=True)


def _gray(image: Tensor, generator: torch.Generator) -> Tensor:
    return torch.full_like(image, 0.5)


def _blur(part: float) -> Callable[[Tensor, torch.Generator], Tensor]:
    """The image blurred by a Gaussian with a deviation of ``part`` of its shorter side."""

    def make(image: Tensor, generator: torch.Generator) -> Tensor:
        sigma = part * min(image.shape[2:])
        return gaussian_blur(image, sigma, radius=int(3 * sigma) + 1, padding="replicate")

    return make


def _uniform(image: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(image.shape, generator=generator)


def _normal(image: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(image.shape, generator=generator).to(image)
    return image.mean((2, 3), keepdim=True) + 0.25 * noise


def _clouds(part: float) -> Callable[[Tensor, torch.Generator], Tensor]:
    """Random colors blurred by ``part`` of the shorter side."""

    def make(image: Tensor, generator: torch.Generator) -> Tensor:
        noise = gaussian_blur(torch.randn(image.shape, generator=generator), part * min(image.shape[2:]))
        return 0.5 + 0.25 * noise / noise.std()

    return make


def _squares(part: float) -> Callable[[Tensor, torch.Generator], Tensor]:
    """Squares of random colors, with sides of ``part`` of the shorter side."""

    def make(image: Tensor, generator: torch.Generator) -> Tensor:
        side = max(1, round(part * min(image.shape[2:])))
        cells = [-(-extent // side) for extent in image.shape[2:]]
        colors = torch.rand(1, image.shape[1], *cells, generator=generator)
        drawn = colors.repeat_interleave(side, 2).repeat_interleave(side, 3)
        return drawn[:, :, : image.shape[2], : image.shape[3]]

    return make


def _shuffled(image: Tensor, generator: torch.Generator) -> Tensor:
    """The image's own pixels in random order."""
    order = torch.randperm(image[0, 0].numel(), generator=generator).to(image.device)
    return image.flatten(2)[:, :, order].view_as(image)


def _phases(image: Tensor, generator: torch.Generator) -> Tensor:
    """The image with random phases: its spectrum without what it shows."""
    noise = torch.fft.rfft2(torch.randn(1, 1, *image.shape[2:], generator=generator)).to(image.device)
    color = image.float().mean((2, 3), keepdim=True)
    mixed = torch.fft.rfft2(image.float() - color) * noise / noise.abs().clamp_min(1e-12)
    return color + torch.fft.irfft2(mixed, s=image.shape[2:])


def _photo(name: str, *, turned: bool = False) -> Callable[[Tensor, torch.Generator], Tensor]:
    """Another photo, of those that scikit-learn carries; in images of other channels than three its gray."""

    def make(image: Tensor, generator: torch.Generator) -> Tensor:
        photo = resize(_sample_photo(name), (image.shape[2], image.shape[3]))
        photo = photo.flip(2, 3) if turned else photo
        return photo if image.shape[1] == 3 else photo.mean(1, keepdim=True).expand_as(image)

    return make


@cache
def _sample_photo(name: str) -> Tensor:
    found = find_spec("sklearn")  # importing its datasets takes a second
    assert found is not None and found.submodule_search_locations
    return read_image(Path(found.submodule_search_locations[0], "datasets", "images", name))


def _inpainted(noise: float) -> Callable[[Tensor, torch.Generator], Hide]:
    """Hidden pixels continued from those that are kept, with noise of this deviation."""

    def prepare(image: Tensor, generator: torch.Generator) -> Hide:
        grain = noise * torch.randn(image.shape, generator=generator).to(image)
        return lambda keep: torch.where(keep, image, (inpaint(image, keep) + grain).clamp(0, 1))

    return prepare


def inpaint(image: Tensor, keep: Tensor) -> Tensor:
    """Images (B, C, H, W) whose pixels outside ``keep`` (B, 1, H, W) continue an image (1, C, H, W) from inside.

    Means of kept pixels at coarser and coarser scales fill what the finer ones leave open (pull-push: Gortler,
    Grzeszczuk, Szeliski & Cohen, "The Lumigraph", SIGGRAPH 1996). Where nothing is kept, the image's mean color.
    """
    known = keep.to(image)
    values = (image * known).expand(len(keep), -1, -1, -1)
    return torch.where(keep, image, _pull_push(values, known, image.mean((2, 3), keepdim=True)))


def _pull_push(values: Tensor, known: Tensor, color: Tensor) -> Tensor:
    """The mean of ``values``, which are multiplied by ``known``, where anything is known; from coarser scales else."""
    height, width = values.shape[2:]
    if max(height, width) == 1:
        coarse = color.expand_as(values)
    else:
        coarser = [F.avg_pool2d(each, 2, ceil_mode=True) for each in (values, known)]
        coarse = F.interpolate(
            _pull_push(coarser[0], coarser[1], color), (height, width), mode="bilinear", align_corners=False
        )
    return torch.where(known > 0, values / known.clamp_min(1e-12), coarse)


CHOOSING = (
    Fill("mean color", "constant", _static(_mean)),
    Fill("blur of 1/24", "blur", _static(_blur(1 / 24))),
    Fill("blur of 1/10", "blur", _static(_blur(1 / 10))),
    Fill("uniform noise", "noise", _static(_uniform)),
    Fill("smooth noise", "noise", _static(_clouds(1 / 20))),
    Fill("random squares of 1/24", "noise", _static(_squares(1 / 24))),
    Fill("inpainting", "inpainting", _inpainted(0.0)),
    Fill("inpainting with noise of 0.1", "inpainting", _inpainted(0.1)),
    Fill("a photo of a palace", "photo", _static(_photo("china.jpg"))),
    Fill("the palace upside down", "photo", _static(_photo("china.jpg", turned=True))),
    Fill("random phases", "phases", _static(_phases)),
    Fill("shuffled pixels", "shuffle", _static(_shuffled)),
)
"""The fills by which a map is chosen."""

MEASURING = (
    Fill("gray", "constant", _static(_gray)),
    Fill("blur of 1/16", "blur", _static(_blur(1 / 16))),
    Fill("blur of 1/7", "blur", _static(_blur(1 / 7))),
    Fill("normal noise", "noise", _static(_normal)),
    Fill("smoother noise", "noise", _static(_clouds(1 / 10))),
    Fill("random squares of 1/12", "noise", _static(_squares(1 / 12))),
    Fill("inpainting with noise of 0.05", "inpainting", _inpainted(0.05)),
    Fill("inpainting with noise of 0.2", "inpainting", _inpainted(0.2)),
    Fill("a photo of a flower", "photo", _static(_photo("flower.jpg"))),
    Fill("the flower upside down", "photo", _static(_photo("flower.jpg", turned=True))),
    Fill("other random phases", "phases", _static(_phases)),
    Fill("pixels shuffled again", "shuffle", _static(_shuffled)),
)
"""The fills by which the chosen map is measured."""
