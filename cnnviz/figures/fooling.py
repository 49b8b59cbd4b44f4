"""The figures of ``fool`` and ``universal``: images before and after, and the perturbation magnified."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image

from cnnviz.figures.grid import panel
from cnnviz.imaging.pixels import to_pil_image

if TYPE_CHECKING:
    from torch import Tensor

_EXAMPLE_HEIGHT = 300  # pixels, of a universal perturbation's tiles


def magnification(largest: float) -> int:
    """The whole number, at least 1, that brings a perturbation's largest change to about half the range of pixels."""
    return max(1, int(0.5 / largest)) if largest else 1


def perturbation_image(perturbation: Tensor, factor: int = 1) -> Image.Image:
    """A perturbation about mid-gray, magnified.

    Args:
        perturbation: (1, C, H, W), of any range; what exceeds [0, 1] after magnification is clipped.
        factor: see ``magnification``.
    """
    return to_pil_image(0.5 + factor * perturbation, clamp=True)


def fooling_panel(
    original: Image.Image,
    perturbation: Tensor,
    adversarial: Image.Image,
    linf: float,
    before: str,
    after: str,
    title: str,
) -> Image.Image:
    """The image, the magnified perturbation, and the adversarial image.

    Args:
        original: the image before.
        perturbation: (1, C, H, W), what was added, in units of pixel values.
        adversarial: the image after.
        linf: the largest change, in units of pixel values.
        before: what the network says of the image before.
        after: what it says of the image after.
        title: one line above.
    """
    factor = magnification(linf)
    captions = [before, f"perturbation × {factor} (at most {linf * 255:.0f}/255)", after]
    return panel([original, perturbation_image(perturbation, factor), adversarial], captions=captions, title=title)


def universal_panel(
    perturbation: Tensor, examples: Sequence[Tensor], captions: Sequence[str], title: str
) -> Image.Image:
    """A universal perturbation, magnified, and some images with it added.

    Args:
        perturbation: (1, 3, H, W), in units of pixel values.
        examples: images (1, 3, H, W) in [0, 1] with the perturbation added.
        captions: one for each example.
        title: one line above.
    """
    factor = magnification(float(perturbation.abs().max()))
    tiles = [perturbation_image(perturbation, factor), *(to_pil_image(example, clamp=True) for example in examples)]
    captions = [f"perturbation × {factor}", *captions]
    return panel(tiles, captions=captions, title=title, tile_height=_EXAMPLE_HEIGHT)


def perturbed_panel(original: Image.Image, perturbed: Image.Image, before: str, after: str) -> Image.Image:
    """An image before and after a universal perturbation was added, with what the network says of each."""
    return panel([original, perturbed], captions=[before, after], title="A universal perturbation")
