"""Operations on pixels: what is said of luma, color, sizes and blur holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from cnnviz.imaging.pixel_ops import LUMA, gaussian_blur, luminance, resize, transfer_color


def image(seed: int, size: tuple[int, int] = (20, 30)) -> torch.Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 0.4 + 0.3


def test_luminance_is_the_weighted_sum_of_the_channels() -> None:
    pixels = image(0)
    expected = sum(weight * pixels[:, [channel]] for channel, weight in enumerate(LUMA))
    torch.testing.assert_close(luminance(pixels), expected)


def test_color_is_transferred_in_yiq_and_luma_stays() -> None:
    """As through the YIQ matrix of Gatys et al. (2016): the luma of one image under I and Q of the other."""
    pixels, reference = image(1), image(2)
    found = transfer_color(pixels, reference)
    yiq = torch.tensor([LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135)], dtype=torch.float64)
    mixed = torch.einsum("oc,nchw->nohw", yiq, reference)
    mixed[:, :1] = luminance(pixels)
    expected = torch.einsum("oc,nchw->nohw", torch.linalg.inv(yiq), mixed).clamp(0, 1)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(luminance(found), luminance(pixels), atol=0.02, rtol=0)  # where nothing is clipped
    assert transfer_color(pixels, reference, 0) is pixels


def test_pixels_of_the_size_asked_for_are_returned_as_they_are() -> None:
    pixels = image(3)
    assert resize(pixels, (20, 30)) is pixels
    assert resize(pixels, (7, 45)).shape == (1, 3, 7, 45)
    assert resize(torch.full_like(pixels, 0.25), (9, 9), "bicubic").sub(0.25).abs().max() < 1e-9


@pytest.mark.parametrize(("padding", "mode"), [("reflect", "mirror"), ("replicate", "nearest")])
def test_the_blur_is_that_of_scipy(padding: str, mode: str) -> None:
    pixels = image(4)
    found = gaussian_blur(pixels, 1.5, radius=5, padding=padding)
    expected = np.stack([gaussian_filter(channel, 1.5, mode=mode, truncate=5 / 1.5) for channel in pixels[0].numpy()])
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-12)
    assert gaussian_blur(pixels, 0) is pixels
