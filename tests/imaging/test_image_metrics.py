"""PSNR and SSIM, by their formulas and as scikit-image has them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz.imaging.image_metrics import psnr, ssim
from cnnviz.imaging.pixels import to_pil_image


def test_psnr_and_ssim():
    one, other = Image.new("RGB", (32, 20), (100, 100, 100)), Image.new("RGB", (32, 20), (110, 110, 110))
    assert psnr(one, other) == pytest.approx(20 * np.log10(255 / 10))
    c1 = (0.01 * 255) ** 2
    assert ssim(one, other) == pytest.approx((2 * 100 * 110 + c1) / (100**2 + 110**2 + c1))
    assert ssim(one, one) == pytest.approx(1)
    assert psnr(one, one) == float("inf")
    noisy = to_pil_image(torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    from skimage.metrics import structural_similarity

    blurred = noisy.resize((16, 16)).resize((32, 32))
    gray = [np.asarray(p.convert("L"), dtype=float) for p in (noisy, blurred)]
    reference = structural_similarity(
        *gray, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim(noisy, blurred) == pytest.approx(reference, abs=1e-6)
