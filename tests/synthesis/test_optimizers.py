"""Our optimizers against torch.optim, step by step; and resuming."""

from __future__ import annotations

import pytest
import torch

from cnnviz.errors import DivergedError
from cnnviz.runtime.progress import LazyFloats
from cnnviz.synthesis.optimization import ImageOptimizer
from cnnviz.synthesis.optimizers import LBFGS, Adam, NormalizedGradient
from cnnviz.synthesis.parameterization import Pixels


def _valley(x):
    """A curved valley with cross terms, so that curvature estimates matter."""
    flat = x.reshape(-1)
    return (flat.square() * torch.linspace(1, 30, len(flat), dtype=x.dtype)).sum() + (flat[1:] - flat[:-1].sin()).pow(
        4
    ).sum()


def _start():
    return torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def _ours(optimizer, steps, factor=1.0):
    x = _start().requires_grad_()

    def evaluate():
        loss = _valley(x)
        return loss.detach(), torch.autograd.grad(loss, x)[0]

    path = []
    for _ in range(steps):
        optimizer.step(x, evaluate, factor)
        path.append(x.detach().clone())
    return path


def _theirs(make, steps):
    x = _start().requires_grad_()
    optimizer = make([x])

    def closure():
        optimizer.zero_grad()
        loss = _valley(x)
        loss.backward()
        return loss

    path = []
    for _ in range(steps):
        optimizer.step(closure)
        path.append(x.detach().clone())
    return path


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Adam(0.07), lambda p: torch.optim.Adam(p, lr=0.07)),
        (Adam(0.2, (0.5, 0.9), 1e-3), lambda p: torch.optim.Adam(p, lr=0.2, betas=(0.5, 0.9), eps=1e-3)),
        (LBFGS(0.8), lambda p: torch.optim.LBFGS(p, lr=0.8, max_iter=1)),
        (LBFGS(0.5, history=4), lambda p: torch.optim.LBFGS(p, lr=0.5, max_iter=1, history_size=4)),
    ],
    ids=["adam", "adam betas", "lbfgs", "lbfgs short history"],
)
def test_every_step_is_that_of_torch_optim(ours, theirs):
    for mine, other in zip(_ours(ours, 20), _theirs(theirs, 20), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-12)


def test_a_factor_is_a_shorter_step():
    assert torch.equal(_ours(Adam(0.1), 5, 0.5)[-1], _ours(Adam(0.05), 5)[-1])
    assert torch.equal(_ours(LBFGS(0.8), 5, 0.5)[-1], _ours(LBFGS(0.4), 5)[-1])


@pytest.mark.parametrize("norm", ["mean", "l2"])
def test_a_normalized_step_has_one_length_for_each_image(norm):
    x = _start()
    before = x.clone()
    gradient = torch.cat([torch.full((1, 3, 4, 5), 1e-6), torch.full((1, 3, 4, 5), 1e6)]).double()
    NormalizedGradient(0.25, norm).step(x, lambda: (torch.tensor(0.0), gradient))
    moved = before - x
    length = moved.abs().mean((1, 2, 3)) if norm == "mean" else moved.square().sum((1, 2, 3)).sqrt()
    torch.testing.assert_close(length, torch.full((2,), 0.25, dtype=torch.float64))


def test_lbfgs_leaves_a_direction_that_leads_uphill():
    x = torch.tensor([1.0, -2.0], dtype=torch.float64)
    optimizer = LBFGS(0.1)
    optimizer.step(x, lambda: (x.square().sum(), 2 * x))
    assert optimizer.direction is not None
    optimizer.scale = -1.0  # as after a change of the objective
    optimizer.gradient = 2 * x  # no curvature to learn from
    before = x.square().sum()
    optimizer.step(x, lambda: (x.square().sum(), 2 * x))
    assert x.square().sum() < before
    assert optimizer.steps == 1


@pytest.mark.parametrize("make", [lambda: Adam(0.1), lambda: LBFGS(0.7), lambda: NormalizedGradient(0.1)])
def test_a_resumed_run_ends_where_an_unbroken_one_does(make):
    def ascent():
        chance = torch.Generator().manual_seed(1)

        def objective(image):
            noise = 0.01 * torch.randn(image.shape, generator=chance, dtype=image.dtype)
            return _valley(image + noise), {}

        return ImageOptimizer(Pixels(_start(), bounded=False), objective, make(), 12, generator=chance)

    whole = ascent().run()
    first = ascent()
    first.steps = 5
    first.run()
    state = first.state_dict()
    second = ascent()
    second.load_state_dict(state)
    assert torch.equal(second.run(), whole)


@pytest.mark.parametrize(("every", "caught"), [(None, 2), (3, 3), (100, 5)])
def test_a_loss_that_is_no_number_is_found_at_the_next_look_or_at_the_end(every, caught):
    """By default a CPU looks at every step; a device that would have to wait looks now and then."""
    ascent = ImageOptimizer(
        Pixels(_start(), bounded=False), lambda image: (image.sum(), {}), Adam(0.1), 5, check_every=every
    )

    def objective(image):
        return (image * (float("nan") if ascent.done else 1.0)).sum(), {}

    ascent.objective = objective
    with pytest.raises(DivergedError, match=f"step {caught}:"):
        ascent.run()
    assert ascent.done == caught - 1


def test_a_guarded_lbfgs_goes_back_from_a_loss_that_is_no_number():
    x = torch.tensor([1.0, -2.0], dtype=torch.float64)
    optimizer = LBFGS(0.1, guard=2.0)
    optimizer.step(x, lambda: (x.square().sum(), 2 * x))
    moved = x.clone()
    nan = torch.full_like(x, torch.nan)
    optimizer.step(x, lambda: (nan.sum(), nan))
    assert torch.equal(x, moved)  # back to the best place, and from there down its gradient again


def test_figures_become_numbers_when_read():
    class Late:
        read = 0

        def __float__(self):
            Late.read += 1
            return 1.5

    seen = []
    objective = lambda image: (_valley(image), {"late": Late()})  # noqa: E731
    ImageOptimizer(Pixels(_start(), bounded=False), objective, Adam(0.1), 3).run(seen.append)
    assert Late.read == 0
    assert dict(seen[-1].terms)["late"] == 1.5
    assert list(seen[0].terms) == ["loss", "late"] and len(seen[0].terms) == 2
    assert isinstance(seen[0].terms, LazyFloats)
