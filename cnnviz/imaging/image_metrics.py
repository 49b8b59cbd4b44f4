"""Similarity of two images: PSNR and SSIM."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.imaging.gaussian import gaussian_blur_valid

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr(one: Image.Image, other: Image.Image) -> float:
    """Peak signal-to-noise ratio in dB of two images of one size; infinite if they are equal."""
    error = float(np.mean((_values(one) - _values(other)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def ssim(one: Image.Image, other: Image.Image) -> float:
    """Structural similarity of the luma of two images of one size, at most 1; NaN if they are below 11 pixels.

    Wang, Bovik, Sheikh & Simoncelli, "Image Quality Assessment", IEEE Trans. Image Processing 13 (2004): a Gaussian
    window of 11×11 pixels with σ = 1.5, averaged over all positions where it fits into the image.
    """
    x, y = (_values(image.convert("L")) for image in (one, other))
    if min(x.shape) < _WINDOW:
        return 1.0 if np.array_equal(x, y) else math.nan
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (var_x + var_y + _C2)
    return float(np.mean(luminance * structure))


def _blur(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return gaussian_blur_valid(values, _SIGMA, _WINDOW // 2)


def _values(image: Image.Image) -> NDArray[np.float64]:
    return np.asarray(image, dtype=np.float64)
