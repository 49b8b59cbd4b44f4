"""The figure of ``texture --strip``: what each further layer adds to a texture."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from cnnviz.figures.grid import panel


def texture_strip(
    sample: Image.Image,
    textures: Sequence[Image.Image],
    layers: Sequence[str],
    tile_height: int,
    *,
    is_unfinished: bool = False,
) -> Image.Image:
    """The sample and the textures of the first layer, of the first two, and so on, side by side.

    Args:
        sample: the texture that was given.
        textures: an image for each of the first of ``layers``.
        layers: the names of all layers, shallow to deep.
        tile_height: in pixels.
        is_unfinished: whether the last texture is.
    """
    captions = ["sample", *(f"up to {layer}" for layer in layers[: len(textures)])]
    if is_unfinished:
        captions[-1] += ": unfinished"
    return panel([sample, *textures], captions=captions, tile_height=tile_height)
