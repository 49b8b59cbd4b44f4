"""Gram matrices and distances against the papers' formulas, written out in loops and in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from cnnviz.errors import UsageError
from cnnviz.synthesis.feature_statistics import (
    DISTANCES,
    blend,
    covariance_distance,
    gram_distance,
    gram_matrix,
    moments,
    relative_error,
    wasserstein_distance,
)


def _features(seed, channels=4, height=5, width=6):
    return torch.randn(1, channels, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _paper_gram(features):
    """Gatys 2015, equation 1: G_ij = sum_k F_ik F_jk."""
    rows = features[0].flatten(1).numpy()
    return np.array([[sum(a * b for a, b in zip(p, q, strict=True)) for q in rows] for p in rows])


def test_gram_matrix_is_the_papers_over_the_number_of_positions():
    features = _features(0)
    assert np.allclose(gram_matrix(features)[0].numpy() * 30, _paper_gram(features), atol=1e-12)


def test_gram_distance_is_the_papers_layer_loss_over_that_of_a_blank_layer():
    found, wanted = _features(1), _features(2)
    n, m = 4, 30
    g, a = _paper_gram(found), _paper_gram(wanted)
    loss = ((g - a) ** 2).sum() / (4 * n**2 * m**2)
    blank = (a**2).sum() / (4 * n**2 * m**2)
    assert float(gram_distance(moments(found), moments(wanted))) == pytest.approx(loss / blank, rel=1e-12)


def test_covariance_distance_compares_numpys_covariances_and_means():
    found, wanted = _features(3) + 1, _features(4) - 0.5
    f, w = (x[0].flatten(1).numpy() for x in (found, wanted))
    s, t = np.cov(f, bias=True), np.cov(w, bias=True)
    m, n = f.mean(1), w.mean(1)
    expected = ((s - t) ** 2).sum() / (t**2).sum() + ((m - n) ** 2).sum() / (n**2).sum()
    assert float(covariance_distance(moments(found), moments(wanted))) == pytest.approx(expected, rel=1e-10)


def test_wasserstein_distance_is_that_of_gaussians():
    found, wanted = _features(5) + 0.3, 2 * _features(6)
    f, w = (x[0].flatten(1).numpy() for x in (found, wanted))
    s, t = np.cov(f, bias=True), np.cov(w, bias=True)
    root = sqrtm(t)
    squared = ((f.mean(1) - w.mean(1)) ** 2).sum() + np.trace(s + t - 2 * sqrtm(root @ s @ root).real)
    expected = squared / (np.trace(t) + (w.mean(1) ** 2).sum())
    assert float(wasserstein_distance(moments(found), moments(wanted))) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", list(DISTANCES))
def test_distances_vanish_for_the_same_texture_and_are_one_apart_from_nothing(name):
    wanted = moments(_features(7) + 1)
    blank = moments(torch.zeros(1, 4, 5, 6, dtype=torch.float64))
    assert float(DISTANCES[name](wanted, wanted)) == pytest.approx(0, abs=1e-9)
    assert float(DISTANCES[name](blank, wanted)) == pytest.approx(2 if name == "covariance" else 1, rel=1e-3)


@pytest.mark.parametrize("name", list(DISTANCES))
def test_gradients_agree_with_finite_differences(name):
    features, wanted = _features(8, 3, 3, 3).requires_grad_(), moments(_features(9, 3, 4, 4) + 0.5)
    assert torch.autograd.gradcheck(lambda x: DISTANCES[name](moments(x), wanted), features, atol=1e-6)


def test_distances_do_not_depend_on_the_size_of_the_image():
    features = _features(10)
    tiled = features.repeat(1, 1, 3, 2)
    assert torch.allclose(moments(tiled).gram, moments(features).gram)
    assert torch.allclose(moments(tiled).mean, moments(features).mean)


def test_relative_content_error_is_gatys_content_loss_over_that_of_a_blank_layer():
    found, wanted = _features(11), _features(12)
    expected = (0.5 * (found - wanted) ** 2).sum() / (0.5 * wanted**2).sum()
    assert float(relative_error(found, wanted)) == pytest.approx(float(expected), rel=1e-12)


def test_a_mask_of_ones_is_no_mask_and_a_mask_of_a_part_sees_that_part_alone():
    features = _features(13)
    ones = torch.ones(1, 1, 5, 6, dtype=torch.float64)
    assert torch.allclose(gram_matrix(features, ones), gram_matrix(features), atol=1e-14)
    left = ones.clone()
    left[..., 3:] = 0
    assert torch.allclose(gram_matrix(features, left), gram_matrix(features[..., :3]), atol=1e-14)
    assert torch.allclose(moments(features, left).mean, features[..., :3].mean((2, 3)), atol=1e-14)


def test_blending_one_to_nothing_is_the_single_style_and_shares_are_relative():
    a, b = moments(_features(14)), moments(_features(15))
    assert torch.equal(blend([a, b], [1, 0]).gram, a.gram)
    assert torch.equal(blend([a, b], [0, 3]).mean, b.mean)
    assert torch.allclose(blend([a, b], [2, 1]).gram, (2 * a.gram + b.gram) / 3, atol=1e-14)


def test_blend_refuses_weights_that_make_no_sense():
    a = moments(_features(16))
    for weights in ([1.0, 2.0], [-1.0], [0.0]):
        with pytest.raises(UsageError):
            blend([a], weights)


@pytest.mark.parametrize("positions", [(9, 7), (60, 61)])
@pytest.mark.parametrize("masked", [False, True])
def test_moments_of_bfloat16_are_float32s_within_its_rounding(positions, masked):
    """The products are of bfloat16's values, summed in float32; masks too are rounded."""
    chance = torch.Generator().manual_seed(3)
    low = torch.randn(1, 20, *positions, generator=chance).relu().bfloat16().requires_grad_()
    mask = torch.rand(1, 1, *positions, generator=chance).round() if masked else None
    high = low.detach().float().requires_grad_()
    found, wanted = moments(low, mask), moments(high, mask)
    assert found.gram.dtype == found.mean.dtype == torch.float32
    assert float((found.gram - wanted.gram).detach().norm() / wanted.gram.detach().norm()) < 3e-3
    assert float((found.mean - wanted.mean).detach().norm() / wanted.mean.detach().norm()) < 1e-4
    gradients = [torch.autograd.grad((m.gram**2).sum() + m.mean.sum(), x)[0] for m, x in ((found, low), (wanted, high))]
    assert gradients[0].dtype == torch.bfloat16
    assert float((gradients[0].float() - gradients[1]).norm() / gradients[1].norm()) < 1e-2
