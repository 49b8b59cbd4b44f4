"""Styles in the colors of the content, so that a style transfer keeps them.

Gatys, Bethge, Hertzmann & Shechtman, "Preserving Color in Neural Artistic Style Transfer", 2016, arXiv:1606.05897, and
section 4 of Gatys et al., CVPR 2017, arXiv:1611.07865.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cnnviz.imaging.pixel_ops import luminance


def match_colors(style: Tensor, content: Tensor) -> Tensor:
    """The style (1, 3, h, w) with the mean and covariance of the content's colors (1, 3, H, W), in [0, 1].

    The linear map is the paper's second, ``S_content^½ S_style^-½``, which does not exchange hues.
    """
    source, target = _colors(style), _colors(content)
    mean, wanted = source.mean(1, keepdim=True), target.mean(1, keepdim=True)
    change = _power(_covariance(target), 0.5) @ _power(_covariance(source), -0.5)
    matched = (change @ (source - mean) + wanted).to(style.dtype)
    return matched.reshape(style.shape).clamp(0, 1)


def match_luminance(style: Tensor, content: Tensor) -> Tensor:
    """The style in gray, with the mean and deviation of the content's luminance; (1, 3, h, w) in [0, 1]."""
    gray, wanted = luminance(style), luminance(content)
    scale = wanted.std() / gray.std().clamp_min(1e-6)
    return ((gray - gray.mean()) * scale + wanted.mean()).clamp(0, 1).expand_as(style).contiguous()


def _colors(pixels: Tensor) -> Tensor:
    return pixels.double().transpose(0, 1).flatten(1)


def _covariance(colors: Tensor) -> Tensor:
    return torch.cov(colors) + 1e-6 * torch.eye(3, dtype=colors.dtype, device=colors.device)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(1e-12).pow(exponent)) @ vectors.T
