"""The sheets of ``activations``: a layer's channels in gray, or laid over the photo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from PIL import Image

from cnnviz.figures.captions import three_digits
from cnnviz.figures.grid import grid, panel, stack
from cnnviz.figures.heatmap import overlay
from cnnviz.imaging.pixels import to_pil_image

if TYPE_CHECKING:
    from cnnviz.features.activations import ActivationGrid


def activation_image(activation: torch.Tensor, *, signed: bool, maximum: torch.Tensor | None = None) -> Image.Image:
    """A feature map in gray, a pixel for each of its values.

    Zero is black and ``maximum`` white; if ``signed``, zero is mid-gray and ``-maximum`` black.

    Args:
        activation: (H, W), of any range.
        signed: whether values may be negative.
        maximum: a scalar; None takes the largest magnitude of the map.
    """
    values = activation.float()
    maximum = values.abs().amax() if maximum is None else maximum
    levels = values / maximum.clamp_min(1e-12)
    return to_pil_image(levels / 2 + 0.5 if signed else levels, clamp=True)


def activation_tiles(
    activations: ActivationGrid,
    channels: Sequence[int],
    photo: Image.Image,
    title: str,
    *,
    shared_scale: bool = False,
    colormap: str | None = None,
    photo_caption: str = "photo",
) -> Image.Image:
    """Photo and mean strength, and below them the channels in gray.

    Args:
        activations: the layer's feature maps.
        channels: which are shown, in order.
        photo: the image that was shown to the network, of any size.
        title: names the layer; the shape of its maps is added.
        shared_scale: whether all channels are scaled by the largest magnitude among them, so that weak ones look
            weak; otherwise each is scaled by its own.
        colormap: of the mean strength, one of matplotlib's.
        photo_caption: under the photo.
    """
    maximum = activations.maps[list(channels)].float().abs().amax() if shared_scale else None
    signed = activations.signed
    tiles = [activation_image(activations.maps[c], signed=signed, maximum=maximum) for c in channels]
    captions = [f"{c}: {three_digits(float(activations.strengths[c]))}" for c in channels]
    sheet = grid(tiles, columns=min(8, len(tiles)), captions=captions, tile=128)
    return stack([_head(activations, photo, title, colormap, photo_caption), sheet])


def activation_overlays(
    activations: ActivationGrid,
    channels: Sequence[int],
    photo: Image.Image,
    title: str,
    *,
    colormap: str | None = None,
    photo_caption: str = "photo",
) -> Image.Image:
    """Photo and mean strength, and below them the channels in color over the photo; see ``activation_tiles``."""
    tiles = [
        overlay(photo, activations.maps[c].numpy(), colormap=colormap, signed=activations.signed) for c in channels
    ]
    captions = [f"channel {c}: mean {three_digits(float(activations.strengths[c]))}" for c in channels]
    sheet = grid(tiles, columns=min(3, len(tiles)), captions=captions, tile=320)
    return stack([_head(activations, photo, title, colormap, photo_caption), sheet])


def _head(
    activations: ActivationGrid, photo: Image.Image, title: str, colormap: str | None, photo_caption: str
) -> Image.Image:
    """Photo and mean strength side by side, under the title."""
    shape = "×".join(map(str, activations.maps.shape))
    heat = overlay(photo, activations.mean_strength.numpy(), colormap=colormap)
    captions = [photo_caption, "mean strength of all channels"]
    return panel([photo, heat], captions, title=f"{title}: {shape}", tile_height=320)
