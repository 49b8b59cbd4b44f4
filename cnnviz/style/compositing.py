"""Paintings and their photo as one image: how strong the style is, whose colors, and where."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cnnviz.imaging.pixel_ops import gaussian_blur, transfer_color
from cnnviz.style.color import match_colors


def keep_colors(painted: Tensor, photo: Tensor, mode: str) -> Tensor:
    """A painting (1, 3, H, W) with the colors of its photo, of the same size, in [0, 1].

    ``luminance`` keeps the painting's luma and takes Cb and Cr from the photo; ``covariance`` gives the painting the
    mean and covariance of the photo's colors; ``none`` leaves it.
    """
    if mode == "luminance":
        return transfer_color(painted, photo)
    return match_colors(painted, photo).to(painted) if mode == "covariance" else painted


def feathered(mask: Tensor, fraction: float) -> Tensor:
    """A mask (1, 1, H, W) in [0, 1] with soft edges: blurred by ``fraction`` of its shorter side."""
    return gaussian_blur(mask, fraction * min(mask.shape[2:]), padding="replicate").clamp(0, 1)


def composite(photo: Tensor, paintings: Sequence[Tensor], masks: Sequence[Tensor | None]) -> Tensor:
    """The photo (1, 3, H, W) with each painting where its mask (1, 1, H, W) is white; None is everywhere.

    Where several masks overlap the paintings are averaged by them.
    """
    if len(paintings) == 1 and masks[0] is None:
        return paintings[0]
    shares = torch.stack([torch.ones_like(photo[:, :1]) if mask is None else mask.to(photo) for mask in masks])
    total = shares.sum(0)
    shares = shares / total.clamp_min(1)
    return photo * (1 - total.clamp_max(1)) + (shares * torch.stack(list(paintings))).sum(0)
