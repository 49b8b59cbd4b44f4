"""Multiscale optimization: its stages, resuming it, and what happens where a stage diverges."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from cnnviz.errors import DivergedError
from cnnviz.synthesis.grid_shift import GridShift
from cnnviz.synthesis.multiscale import MultiscaleOptimizer, plan_stages, resize, scales_for
from cnnviz.synthesis.optimization import ImageOptimizer
from cnnviz.synthesis.optimizers import Adam
from cnnviz.synthesis.parameterization import Pixels
from cnnviz.synthesis.stage_runs import lbfgs_run


def test_stages_double_in_size_and_divide_the_steps():
    stages = plan_stages((90, 120), 101, 3, adam_fraction=0.25)
    assert sum(stage.steps for stage in stages) == 101
    assert [stage.size for stage in stages if not stage.uses_adam] == [(22, 30), (45, 60), (90, 120)]
    assert [stage.number for stage in stages] == list(range(6))
    assert all(before.size == after.size for before, after in pairwise(stages) if after.uses_adam)


def test_only_the_last_size_has_steps_without_shifts():
    stages = plan_stages((64, 64), 80, 2, adam_fraction=0.25, fixed_fraction=0.2)
    assert [(s.steps, s.uses_adam, s.is_fixed) for s in stages] == [
        *[(24, False, False), (8, True, False)],
        *[(28, False, False), (10, True, False), (10, True, True)],
    ]


def test_one_scale_per_halving_down_to_the_least_side():
    assert [scales_for((s, s), 128) for s in (64, 128, 255, 256, 1024)] == [1, 1, 1, 2, 4]


def _towards(value):
    def objective(pixels):
        loss = (pixels - value).square().sum()
        return loss, {"distance": loss.detach()}

    return objective


def _run(steps=30, fail_at=None, optimizer=None):
    stages = plan_stages((8, 12), steps, 2)

    def prepare(stage, start):
        calls = []

        def objective(pixels):
            calls.append(1)
            broken = fail_at is not None and stage.number == 1 and len(calls) >= fail_at and optimizer is None
            loss, terms = _towards(0.8)(pixels)
            return (loss * float("nan") if broken and not run.rescued else loss), terms

        return lbfgs_run(Pixels(start, bounded=False), objective, stage.steps, lambda step: None)

    run = MultiscaleOptimizer(torch.full((1, 3, 8, 12), 0.2), stages, prepare)
    return run


def test_steps_are_counted_over_all_stages():
    seen = []
    image = _run().run(lambda step: seen.append((step.step, step.total, tuple(step.image().shape))))
    assert [s[0] for s in seen] == list(range(1, 31))
    assert {s[1] for s in seen} == {30}
    assert seen[0][2] == (1, 3, 4, 6)
    assert image.shape == (1, 3, 8, 12)
    assert torch.allclose(image, torch.full_like(image, 0.8), atol=1e-3)


@pytest.mark.parametrize("stop", [4, 15, 22])
def test_a_resumed_run_gives_the_same_image(stop):
    whole = _run().run()
    first = _run()

    def interrupt(step):
        if step.step == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first.run(interrupt)
    second = _run()
    second.load_state_dict(first.state_dict())
    assert second.done == stop
    assert torch.equal(second.run(), whole)


def test_a_diverged_stage_is_run_again_with_adam_and_reported():
    run = _run(fail_at=3)
    image = run.run()
    assert torch.isfinite(image).all()
    assert len(run.remarks) == 1
    assert "Adam" in run.remarks[0]
    assert float(image.mean()) > 0.5


def test_pixels_that_are_not_finite_count_as_divergence():
    """Eigenvalues of such an image's colors cannot be found: an error of linear algebra, not a loss of NaN."""

    def prepare(stage, start):
        def objective(pixels):
            broken = pixels * (1 if run.rescued else float("nan"))
            return torch.linalg.eigvalsh(torch.cov(broken[0].flatten(1)) + torch.eye(3)).sum(), {}

        return ImageOptimizer(Pixels(start), objective, Adam(), stage.steps)

    run = MultiscaleOptimizer(torch.rand(1, 3, 8, 8), plan_stages((8, 8), 4, 1), prepare)
    assert torch.isfinite(run.run()).all()
    assert "diverged" in run.remarks[0]


def test_divergence_with_adam_too_is_an_error():
    def prepare(stage, start):
        def objective(pixels):
            return pixels.sum() * float("nan"), {}

        return ImageOptimizer(Pixels(start), objective, Adam(), stage.steps)

    with pytest.raises(DivergedError):
        MultiscaleOptimizer(torch.zeros(1, 3, 8, 8), plan_stages((8, 8), 5, 1), prepare).run()


def test_a_loss_that_runs_away_counts_as_divergence():
    """L-BFGS has no line search: where the curvature misleads it the loss can grow without becoming NaN."""

    def prepare(stage, start):
        calls = []

        def objective(pixels):
            calls.append(1)
            loss = (pixels - 0.8).square().sum()
            return loss * (1e9 if len(calls) > 1 and not run.rescued else 1), {}

        return lbfgs_run(Pixels(start, bounded=False), objective, stage.steps, lambda step: None)

    run = MultiscaleOptimizer(torch.full((1, 3, 8, 8), 0.2), plan_stages((8, 8), 30, 1), prepare)
    assert torch.isfinite(run.run()).all()
    assert run.remarks


def test_shifts_depend_on_seed_and_step_alone_and_change_with_each_period():
    one, two = GridShift(16, 25, seed=1), GridShift(16, 25, seed=1)
    assert one.draw(1)
    assert not one.draw(25)
    assert one.draw(26)
    assert two.draw(30)
    assert one.offset == two.offset


@pytest.mark.parametrize("circular", [False, True])
def test_shifted_images_contain_all_pixels(circular):
    pixels = torch.arange(20 * 24.0).view(1, 1, 20, 24)
    shift = GridShift(6, 1, seed=3, circular=circular)
    shift.draw(2)
    moved = shift(pixels)
    assert moved.shape == (1, 1, 26, 30)
    assert set(moved.flatten().tolist()) == set(pixels.flatten().tolist())


def test_resizing_to_the_same_size_changes_nothing():
    pixels = torch.rand(1, 3, 7, 9)
    assert resize(pixels, (7, 9)) is pixels
    assert resize(pixels, (14, 18)).shape == (1, 3, 14, 18)


def test_a_circular_image_is_enlarged_evenly():
    """Its opposite borders fit as all neighbors do: no step within an old pixel differs from one between two."""
    small = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(4))
    large = resize(small, (80, 100), circular=True)
    assert torch.allclose(large[..., ::2, ::2], small, atol=1e-5)
    moved = resize(small.roll((3, 7), (2, 3)), (80, 100), circular=True)
    assert torch.allclose(moved, large.roll((6, 14), (2, 3)), atol=1e-5)
    for axis in (2, 3):
        steps = (large - large.roll(1, axis)).abs().mean((0, 1, 5 - axis))
        assert float(steps[::2].mean() / steps[1::2].mean()) == pytest.approx(1, abs=0.02)
    cornered = resize(small, (80, 100))
    steps = (cornered[..., 1:] - cornered[..., :-1]).abs().mean((0, 1, 2))
    assert float(steps[1::2].mean() / steps[::2].mean()) > 1.05
