"""Operations on pixels, float tensors (N, 3, H, W): luma, color transfer, resizing and Gaussian blur."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma (ITU-R BT.601), by which PIL and torchvision also make RGB gray."""


def luminance(pixels: Tensor) -> Tensor:
    """The luma (N, 1, H, W) of pixels (N, 3, H, W)."""
    return (pixels * pixels.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def transfer_color(pixels: Tensor, reference: Tensor, amount: float = 1.0) -> Tensor:
    """``pixels`` with the color of ``reference`` and their own luma, both (N, 3, H, W); in [0, 1].

    Luma and color are split as in YIQ: the luma of every pixel stays, its difference to the luma is blended.

    Args:
        pixels: The image that keeps its luma.
        reference: The image whose color is taken, of the same size.
        amount: In [0, 1]; 0 gives ``pixels`` as they are, 1 takes all color from ``reference``.
    """
    if amount <= 0:
        return pixels
    luma, reference_luma = luminance(pixels), luminance(reference)
    return (luma + (1 - amount) * (pixels - luma) + amount * (reference - reference_luma)).clamp(0, 1)


def resize(pixels: Tensor, size: tuple[int, int], mode: str = "bilinear") -> Tensor:
    """Pixels (N, C, H, W) at ``size`` (height, width), antialiased where they shrink; unchanged at their own size.

    Args:
        pixels: Images, or differences of images.
        size: Height and width of the result.
        mode: ``bilinear``, or ``bicubic``, which overshoots beside steep edges.
    """
    if tuple(pixels.shape[2:]) == tuple(size):
        return pixels
    return F.interpolate(pixels, size, mode=mode, align_corners=False, antialias=True)


def gaussian_blur(pixels: Tensor, sigma: float, *, radius: int | None = None, padding: str = "reflect") -> Tensor:
    """Pixels (N, C, H, W) blurred by a Gaussian of standard deviation ``sigma`` in pixels; unchanged for 0.

    Args:
        pixels: Images; each channel is blurred by itself.
        sigma: Standard deviation, in pixels.
        radius: Where the Gaussian is cut off, in pixels; None takes three sigma, at most what ``reflect`` can pad.
        padding: What continues the image beyond its border: ``reflect`` or ``replicate``.
    """
    if sigma <= 0:
        return pixels
    if radius is None:
        radius = min(max(1, math.ceil(3 * sigma)), min(pixels.shape[2:]) - 1)
    offsets = torch.arange(-radius, radius + 1, dtype=pixels.dtype, device=pixels.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).repeat(pixels.shape[1], 1)
    padded = F.pad(pixels, (radius,) * 4, mode=padding)
    horizontal = F.conv2d(padded, kernel[:, None, None, :], groups=len(kernel))
    return F.conv2d(horizontal, kernel[:, None, :, None], groups=len(kernel))
