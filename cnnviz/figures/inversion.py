"""The figure of ``invert``: a photo and the images that each layer's features give back."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from cnnviz.figures.captions import three_digits
from cnnviz.figures.grid import panel


def inversion_strip(
    photo: Image.Image,
    inverted: Sequence[Image.Image],
    layers: Sequence[str],
    errors: Sequence[float],
    title: str,
) -> Image.Image:
    """The photo and what was reconstructed of it, side by side.

    Args:
        photo: as the network sees it.
        inverted: an image for each of the first of ``layers``; without an error it is unfinished.
        layers: the names of all layers, in order.
        errors: the relative feature error of each finished image, 0 for an exact inversion.
        title: one line above.
    """
    captions = [f"{layer}: error {three_digits(100 * error)} %" for layer, error in zip(layers, errors, strict=False)]
    captions += [f"{layer}: unfinished" for layer in layers[len(errors) :]]
    return panel([photo, *inverted], ["photo", *captions[: len(inverted)]], title=title)
