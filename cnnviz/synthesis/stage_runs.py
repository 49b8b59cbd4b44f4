"""The runs that a stage of a multiscale optimization consists of: L-BFGS with restarts, and Adam."""

from __future__ import annotations

import torch
from torch import Tensor

from cnnviz.errors import DivergedError
from cnnviz.synthesis.ema import EMAOptimizer
from cnnviz.synthesis.optimization import Hook, ImageOptimizer, Objective, Terms, cosine
from cnnviz.synthesis.optimizers import LBFGS, Adam
from cnnviz.synthesis.parameterization import Pixels

RESTART = 25
"""Steps after which L-BFGS drops its history: the image is shifted then, which changes the objective."""

ADAM_RATE = 0.02
"""Adam's learning rate after L-BFGS, in pixel units."""

DITHER_BLUR = 0.5
"""Blur before Adam's steps, in pixels (sigma), that removes L-BFGS's dither."""

_LARGEST_GROWTH = 1e3
_LEAST_PAIRS, _MOST_PAIRS, _PAIRS_BYTES = 10, 50, 1 << 30
_FIRST_STEP = 2e-3  # pixel units


def lbfgs_run(
    parameterization: Pixels, objective: Objective, steps: int, before_step: Hook, restart: int = RESTART
) -> ImageOptimizer:
    """A run of L-BFGS that restarts every ``restart`` steps and is only then clipped to [0, 1].

    A loss a thousand times the first raises DivergedError: without a line search, L-BFGS can diverge long before its
    loss is not finite any more.
    """
    first: list[float] = []

    def before(step: int) -> None:
        if (step - 1) % restart == 0:
            with torch.no_grad():
                parameterization.parameter.clamp_(0, 1)
        before_step(step)

    def guarded(pixels: Tensor) -> tuple[Tensor, Terms]:
        loss, terms = objective(pixels)
        value = float(loss.detach())
        if not first:
            first.append(value)
        if abs(value) > _LARGEST_GROWTH * (abs(first[0]) + 1):
            raise DivergedError(f"The optimization diverged: its loss grew from {first[0]:.4g} to {value:.4g}.")
        return loss, terms

    optimizer = LBFGS(history=min(restart, lbfgs_history(parameterization.parameter.numel())), first=_FIRST_STEP)
    return ImageOptimizer(parameterization, guarded, optimizer, steps, restart_every=restart, before_step=before)


def adam_run(
    parameterization: Pixels,
    objective: Objective,
    steps: int,
    before_step: Hook,
    rate: float = ADAM_RATE,
    average: float = 0.0,
) -> ImageOptimizer:
    """A run of Adam at a learning rate that falls along a cosine; ``average`` is the decay of an EMA, or 0."""
    optimizer = Adam(rate)
    if average:
        return EMAOptimizer(
            parameterization, objective, optimizer, steps, cosine, before_step=before_step, decay=average
        )
    return ImageOptimizer(parameterization, objective, optimizer, steps, cosine, before_step=before_step)


def lbfgs_history(values: int) -> int:
    """Number of steps L-BFGS remembers for an image of ``values`` values: up to 50, in one GiB where possible."""
    return max(_LEAST_PAIRS, min(_MOST_PAIRS, _PAIRS_BYTES // (2 * 4 * values)))
