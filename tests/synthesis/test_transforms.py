"""Views, shifts and blurs against plain references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from cnnviz.imaging.pixel_ops import gaussian_blur
from cnnviz.synthesis.regularizers import batch_similarity, gray_distance, out_of_range, total_variation
from cnnviz.synthesis.transforms import RandomView, affine_grid, invert_affine, random_offset, roll


def _image(count=1, height=20, width=28):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def test_a_view_without_variation_is_the_image():
    image = _image(2)
    view = RandomView(shift=0, scale=(1, 1), degrees=0)(image, torch.Generator().manual_seed(0))
    torch.testing.assert_close(view, image, atol=1e-5, rtol=0)


class _Fixed(RandomView):
    """A view whose chance is settled."""

    def random_matrices(self, count, height, width, generator):
        from unittest import mock

        with mock.patch("torch.rand", return_value=torch.tensor([[0.5], [1.0], [1.0], [0.5]])):
            return super().random_matrices(count, height, width, generator)


def test_a_shift_is_in_pixels_and_shows_gray_beyond_the_border():
    image = _image()
    view = _Fixed(shift=4, scale=(1, 1), degrees=0)(image)
    torch.testing.assert_close(view[..., :-4], image[..., 4:], atol=1e-5, rtol=0)
    torch.testing.assert_close(view[..., -3:], torch.full((1, 3, 20, 3), 0.5, dtype=torch.float64))


def test_a_turn_keeps_the_shape_of_what_is_turned():
    """A square in an oblong image stays one: its turned sides are of one length."""
    image = torch.full((1, 3, 60, 90), 0.5, dtype=torch.float64)
    image[..., 20:40, 35:55] = 1.5
    view = _Fixed(shift=0, scale=(1, 1), degrees=45)(image)[0, 0] - 0.5
    rows, columns = (view > 0.3).any(1).nonzero(), (view > 0.3).any(0).nonzero()
    height, width = rows.max() - rows.min(), columns.max() - columns.min()
    assert abs(int(height) - int(width)) <= 1
    assert int(height) == pytest.approx(20 * 2**0.5, abs=2.5)


def test_the_gradient_is_the_adjoint_of_the_view():
    """Where images and gradients are smooth, the adjoint of continuous images is that of their samples."""
    image = gaussian_blur(_image(2, 60, 80), 2).requires_grad_()
    gradients = gaussian_blur(torch.rand(2, 3, 60, 80, generator=torch.Generator().manual_seed(1)).double(), 2)
    view = RandomView(shift=6, scale=(0.8, 1.2), degrees=10)
    generator = torch.Generator().manual_seed(2)
    theta = view.random_matrices(2, 60, 80, torch.Generator().manual_seed(2)).double()
    found = torch.autograd.grad(view(image, generator), image, gradients)[0]
    sampled = F.grid_sample(image, affine_grid(theta, 60, 80), align_corners=False)
    expected = torch.autograd.grad(sampled, image, gradients)[0]
    inner = (..., slice(8, -8), slice(8, -8))  # at the view's border gradients end at once, and are not smooth
    torch.testing.assert_close(found[inner], expected[inner], atol=0.03, rtol=0.05)
    assert float(F.cosine_similarity(found.flatten(), expected.flatten(), 0)) > 0.995


def test_affine_maps_areinvert_affine():
    theta = RandomView(degrees=45).random_matrices(3, 20, 28, torch.Generator().manual_seed(3))
    inverse, density = invert_affine(theta)
    last = torch.tensor([[0.0, 0.0, 1.0]]).expand(3, 1, 3)
    whole, undone = torch.cat([theta, last], 1), torch.cat([inverse, last], 1)
    torch.testing.assert_close(whole @ undone, torch.eye(3).expand(3, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(density.flatten(), torch.linalg.det(undone), atol=1e-5, rtol=0)


def test_the_same_seed_gives_the_same_view():
    views = [RandomView()(_image(), torch.Generator().manual_seed(9)) for _ in range(2)]
    assert torch.equal(*views)
    assert not torch.equal(views[0], RandomView()(_image(), torch.Generator().manual_seed(10)))


def test_rolling_is_undone():
    generator = torch.Generator().manual_seed(0)
    offsets = [random_offset(3, generator) for _ in range(200)]
    assert {value for offset in offsets for value in offset} == set(range(-3, 4))
    back = (-offsets[0][0], -offsets[0][1])
    assert torch.equal(roll(roll(_image(), offsets[0]), back), _image())


@pytest.mark.parametrize("sigma", [0.5, 1.3])
def test_a_blur_is_scipys(sigma):
    image = _image()
    reach = int(np.ceil(3 * sigma))
    expected = ndimage.gaussian_filter(image.numpy(), (0, 0, sigma, sigma), mode="mirror", radius=(0, 0, reach, reach))
    np.testing.assert_allclose(gaussian_blur(image, sigma).numpy(), expected, atol=1e-12)
    assert gaussian_blur(image, 0) is image


@pytest.mark.parametrize("beta", [1.0, 2.0, 2.5])
def test_total_variation_is_the_papers_sum_as_a_mean(beta):
    image = _image(2, 5, 6)
    for one, value in zip(image, total_variation(image, beta), strict=True):
        terms = [
            ((one[c, y, x + 1] - one[c, y, x]) ** 2 + (one[c, y + 1, x] - one[c, y, x]) ** 2) ** (beta / 2)
            for c in range(3)
            for y in range(4)
            for x in range(5)
        ]
        assert float(value) == pytest.approx(float(sum(terms)) / len(terms), rel=1e-5)


@pytest.mark.parametrize("beta", [1.5, 2.0])
def test_total_variation_has_the_right_gradient(beta):
    image = _image(2, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: total_variation(x, beta), (image,))


def test_penalties_are_zero_for_gray_images_in_range():
    gray = torch.full((2, 3, 4, 4), 0.5)
    assert total_variation(gray).tolist() == [0, 0]
    assert gray_distance(gray).tolist() == [0, 0]
    assert out_of_range(gray * 2).tolist() == [0, 0]
    assert out_of_range(gray * 4).tolist() == [1, 1]


def test_likeness_is_one_for_copies_and_less_for_others():
    features = torch.rand(1, 5, 6, 6)
    assert float(batch_similarity(features)) == 0
    assert float(batch_similarity(features.repeat(3, 1, 1, 1))) == pytest.approx(1, abs=1e-6)
    apart = torch.zeros(2, 2, 3, 3)
    apart[0, 0], apart[1, 1] = 1, 1
    assert float(batch_similarity(apart)) == pytest.approx(0, abs=1e-6)


def test_the_field_of_a_view_is_that_of_torch() -> None:
    theta = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.nn.functional.affine_grid(theta, [3, 3, 7, 12], align_corners=False)
    torch.testing.assert_close(affine_grid(theta, 7, 12), expected)
