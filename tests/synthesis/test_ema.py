"""The average of a run's images, and Adam's moments at another size."""

from __future__ import annotations

import pytest
import torch

from cnnviz.synthesis.adam_state import transfer_adam_state
from cnnviz.synthesis.ema import EMAOptimizer
from cnnviz.synthesis.multiscale import MultiscaleOptimizer, plan_stages
from cnnviz.synthesis.optimization import ImageOptimizer
from cnnviz.synthesis.optimizers import LBFGS, Adam
from cnnviz.synthesis.parameterization import Pixels


def _objective(pixels):
    return (pixels - 0.8).square().mean(), {}


def _run(steps=9, decay=0.9):
    start = torch.full((1, 3, 4, 5), 0.2, dtype=torch.float64)
    return EMAOptimizer(Pixels(start), _objective, Adam(0.05), steps, decay=decay)


def test_the_image_is_the_bias_corrected_exponential_average():
    run, images = _run(), []
    shown = run.run(lambda step: images.append(run.parameterization.parameter.detach().clone()))
    weights = torch.tensor([0.9 ** (9 - t) for t in range(1, 10)], dtype=torch.float64)
    expected = sum(w * x for w, x in zip(weights / weights.sum(), images, strict=True))
    assert torch.allclose(shown, expected, atol=1e-12)
    assert (shown - images[-1]).abs().max() > 0.01


def test_averaging_does_not_change_the_optimization():
    plain = ImageOptimizer(_run().parameterization, _objective, Adam(0.05), 9)
    plain.run()
    averaged = _run()
    averaged.run()
    assert torch.equal(plain.parameterization.parameter, averaged.parameterization.parameter)


def test_an_average_is_resumed():
    whole, first, second = _run().run(), _run(), _run()

    def stop(step):
        if step.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first.run(stop)
    second.load_state_dict(first.state_dict())
    assert torch.equal(second.run(), whole)


def test_resampled_moments_are_those_adam_would_have_at_that_size():
    """A smooth image's gradients at twice the size are a quarter of those at the first, for a mean over positions."""

    def moments(height, width):
        rows = torch.linspace(0, 1, 2 * height + 1, dtype=torch.float64)[1::2]
        start = (rows[:, None] * torch.ones(width, dtype=torch.float64)).expand(1, 3, -1, -1).contiguous()
        adam = Adam(1e-9)
        ImageOptimizer(Pixels(start, bounded=False), _objective, adam, 5).run()
        return adam

    small, large, found = moments(16, 12), moments(32, 24), Adam()
    transfer_adam_state(small, found, (32, 24))
    assert found.steps == 5
    inside = (..., slice(2, -2), slice(2, -2))
    assert torch.allclose(found.mean[inside], large.mean[inside], rtol=1e-6)
    assert torch.allclose(found.square[inside], large.square[inside], rtol=0.05)
    assert float(found.square.min()) >= 0


def test_only_adams_moments_are_transferred():
    for past, to in ((LBFGS(), Adam()), (Adam(), LBFGS()), (Adam(), Adam()), (None, Adam())):
        transfer_adam_state(past, to, (8, 8))
        assert to.steps == 0


@pytest.mark.parametrize("keep_adam_state", [False, True])
def test_adams_moments_are_kept_between_sizes_if_asked(keep_adam_state):
    seen = []

    def prepare(stage, start):
        ascent = ImageOptimizer(Pixels(start), _objective, Adam(0.01), stage.steps)
        seen.append(ascent)
        return ascent

    MultiscaleOptimizer(
        torch.full((1, 3, 8, 8), 0.2), plan_stages((8, 8), 10, 2), prepare, keep_adam_state=keep_adam_state
    ).run()
    assert seen[1].optimizer.steps == (10 if keep_adam_state else 6)
    assert seen[1].optimizer.mean.shape == (1, 3, 8, 8)
