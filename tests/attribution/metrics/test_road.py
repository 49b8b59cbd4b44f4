"""ROAD against pytorch-grad-cam, and what its imputation leaves."""

from __future__ import annotations

import pytest
import torch

import cnnviz
from cnnviz.attribution.metrics.road import linear_imputation
from cnnviz.errors import UsageError


@pytest.fixture
def image():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def a_map(count: int = 2):
    return (
        torch.stack([torch.randperm(256, generator=torch.Generator().manual_seed(n)) for n in range(count)]).view(
            count, 1, 16, 16
        )
        / 256
    )


@pytest.mark.parametrize("least_first", [False, True])
def test_road_is_that_of_pytorch_grad_cam_without_noise(image, least_first):
    peer = pytest.importorskip("pytorch_grad_cam.metrics.road")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 5), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(576, 3))
    network = cnnviz.Network(module, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), size=16)
    found = a_map()
    ours = cnnviz.road_curve(network, image, found, 1, shares=(0.25, 0.75), noise=0.0, least_first=least_first)
    remove = peer.RemoveLeastRelevantFirst if least_first else peer.RemoveMostRelevantFirst
    for column, share in enumerate((0.25, 0.75)):
        measure = peer.PerturbationConfidenceMetric(remove(100 * (1 - share), peer.NoisyLinearImputer(noise=0.0)))
        theirs = measure(
            network.normalize(image),
            found[:, 0].numpy(),
            [lambda logits: logits.softmax(-1)[1]] * 2,
            module.eval(),
            return_diff=False,
        )
        assert ours.probabilities[:, column].numpy() == pytest.approx(theirs, abs=1e-5)


def test_removed_pixels_are_the_weighted_means_of_their_neighbors(image):
    removed = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(2)) < 0.7
    filled = linear_imputation(image[:1].double(), removed)
    assert torch.equal(filled[:, :, ~removed[0]], image[:1].double()[:, :, ~removed[0]])
    kernel = torch.tensor([[1.0, 2, 1], [2, 0, 2], [1, 2, 1]], dtype=torch.float64)[None, None] / 12
    means, weights = (
        torch.nn.functional.conv2d(each, kernel, padding=1)
        for each in (filled[0][:, None], torch.ones(1, 1, 16, 16, dtype=torch.float64))
    )
    means = (means / weights)[:, 0]
    assert torch.allclose(filled[0][:, removed[0]], means[:, removed[0]], atol=1e-9)


def test_noise_is_added_to_removed_pixels_only(image):
    removed = torch.zeros(1, 16, 16, dtype=torch.bool)
    removed[:, 4:9] = True
    plain, noisy = (
        linear_imputation(image[:1], removed, noise, torch.Generator().manual_seed(0)) for noise in (0.0, 0.1)
    )
    changed = (noisy - plain)[0, 0]
    assert not changed[~removed[0]].any()
    assert 0.05 < float(changed[removed[0]].std()) < 0.15
    assert bool(linear_imputation(image[:1], torch.ones(1, 16, 16, dtype=torch.bool)).isfinite().all())


@pytest.mark.parametrize("shares", [(), (0.0, 0.5), (0.5, 1.0)])
def test_shares_are_inside(squeezenet, image, shares):
    with pytest.raises(UsageError, match="shares"):
        cnnviz.road_curve(squeezenet, image, a_map(), shares=shares)
