"""Spectra and latent codes as pictures."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cnnviz.synthesis.parameterization import Fourier, Latent


@pytest.mark.parametrize("size", [(16, 16), (15, 22), (33, 7)])
def test_a_spectrum_of_given_pixels_is_those_pixels(size):
    start = 0.1 + 0.8 * torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Fourier(size, 2, start=start).image(), start, atol=2e-4, rtol=0)


def test_black_and_white_stay_nearly_so():
    start = torch.tensor([0.0, 1.0]).repeat(1, 3, 8, 8)
    assert float((Fourier((8, 16), start=start).image().detach() - start).abs().max()) == pytest.approx(0.02, abs=1e-3)


def test_noise_is_smooth_and_nearly_gray():
    picture = Fourier((64, 64), 4, deviation=0.1, generator=torch.Generator().manual_seed(0)).image().detach()
    assert picture.shape == (4, 3, 64, 64)
    neighbours = (picture[..., 1:] - picture[..., :-1]).std()
    assert float(neighbours) < 0.8 * float(picture.std())  # of white noise it would be 1.4
    assert float(picture.mean()) == pytest.approx(0.5, abs=0.05)


def test_the_gradient_of_the_spectrum_is_right():
    picture = Fourier((6, 5), generator=torch.Generator().manual_seed(0))
    picture.parameter = picture.parameter.detach().double().requires_grad_()
    for name in ("scale", "adjoint_scale", "basis"):
        setattr(picture, name, getattr(picture, name).double())

    def image(parameter):
        picture.parameter = parameter
        return picture.image()

    # The imaginary parts of frequencies that a real picture has none of have no effect, and no gradient.
    assert torch.autograd.gradcheck(image, (picture.parameter,))


def test_a_latent_code_is_bounded_and_its_picture_scaled():
    generator = nn.Sequential(nn.Linear(4, 12), nn.Unflatten(1, (3, 2, 2)), nn.Tanh())
    code = Latent(generator, torch.full((1, 4), 5.0), bound=3.0)
    with torch.no_grad():
        code.project()
    assert code.parameter.abs().max() == 3
    image = code.image().detach()
    assert image.shape == (1, 3, 2, 2)
    assert 0 <= float(image.min()) <= float(image.max()) <= 1
