"""The figure of ``--check``: maps beside the plot, wide ones below it."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from cnnviz.attribution.faithfulness import FaithfulnessCurve
from cnnviz.figures.faithfulness import FaithfulnessCurves, Randomized, faithfulness_figure

SHARES = torch.linspace(0, 1, 5)
CURVE = FaithfulnessCurve(SHARES, 1 - SHARES[None])
CURVES = FaithfulnessCurves(CURVE, CURVE)


def figure(height: int, width: int):
    attribution = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(0))
    step = SimpleNamespace(maps=attribution.flip(3), ssim=torch.tensor(0.1), rank_correlation=torch.tensor(-0.2))
    return faithfulness_figure(CURVES, attribution, "a title", Randomized(CURVES, step))


def test_without_weights_to_randomize_there_are_the_curves_and_the_map():
    attribution = torch.rand(1, 1, 20, 30, generator=torch.Generator().manual_seed(0))
    alone = faithfulness_figure(CURVES, attribution, "a title")
    assert alone.width < figure(20, 30).width - 420


def test_maps_stand_beside_the_plot_and_wide_ones_below_it():
    beside, below = figure(20, 30), figure(10, 60)
    assert beside.width > 600 + 2 * 420
    assert 420 < beside.height < 600
    assert below.width < beside.width
    assert below.height > 600
