"""The optimization loop that every image made by gradients goes through.

A parameterization describes the image, an objective is minimized, and an optimizer updates the parameter.
Visualization, DeepDream, inversion, texture synthesis and style transfer differ in these three alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from cnnviz.errors import DivergedError
from cnnviz.runtime.precision import gradients_of
from cnnviz.runtime.progress import LazyFloats, OnStep, Step
from cnnviz.synthesis.optimizers import Optimizer

Terms = Mapping[str, Tensor | float]
"""The terms of a loss by name, as they are reported."""

Objective = Callable[[Tensor], tuple[Tensor, Terms]]
"""Pixels (N, 3, H, W) -> the loss to be minimized (a scalar; the sum over a batch), and its terms."""

Schedule = Callable[[float], float]
"""Fraction of the run that is done, 0 to 1 -> factor of the optimizer's step size."""

Hook = Callable[[int], None]
"""Called around each step with its number, which counts from 1."""

_CHECK_EVERY = 16
"""Steps between two checks of the loss on a device that has to be waited for."""


class Parameterization(Protocol):
    """An image as the tensor that is optimized, and how it becomes pixels."""

    parameter: Tensor
    """A leaf that requires a gradient."""

    def image(self) -> Tensor:
        """Pixels (N, 3, H, W) of the parameter; differentiable."""
        ...

    def project(self) -> None:
        """Bring the parameter back, in place, to where it describes an image; called after each step."""
        ...


@dataclass
class ImageOptimizer:
    """A run of ``steps`` optimization steps over an image.

    It can be stopped at any moment, by an exception from a hook or by Ctrl-C: each step changes the parameter by a
    single operation, so that ``image()`` is consistent at all times, and ``run`` continues from where it stopped.

    Args:
        parameterization: describes the image.
        objective: the loss to be minimized.
        optimizer: updates the parameter.
        steps: number of steps of the whole run.
        schedule: scales the step size over the run.
        restart_every: steps after which the optimizer's state is reset, as it must be where the objective changes then;
            0 never.
        before_step: called before each step (and after a restart), where random shifts are drawn.
        after_step: called after each step, where the image is blurred or clipped now and then.
        generator: random generator of the objective and the hooks, kept in ``state_dict``.
        check_every: steps after which the loss is checked to be finite, as it is at the last. None is 1 on a CPU, and
            16 on devices that a check has to wait for.
    """

    parameterization: Parameterization
    objective: Objective
    optimizer: Optimizer
    steps: int
    schedule: Schedule | None = None
    restart_every: int = 0
    before_step: Hook | None = None
    after_step: Hook | None = None
    generator: torch.Generator | None = None
    check_every: int | None = None
    done: int = field(default=0, init=False)
    gradient: Tensor | None = field(default=None, init=False, repr=False)
    """Gradient of the loss with respect to the parameter, as last computed."""

    def run(self, on_step: OnStep | None = None) -> Tensor:
        """Take the remaining steps and return the pixels (N, 3, H, W), in [0, 1].

        Raises DivergedError where the loss is not finite.
        """
        while self.done < self.steps:
            terms = self._step()
            if on_step is not None:
                on_step(Step(self.done, self.steps, LazyFloats(terms), self.image))
        return self.image()

    def image(self) -> Tensor:
        """The pixels so far (N, 3, H, W), in [0, 1]."""
        with torch.no_grad():
            return self.parameterization.image().detach().clamp(0, 1).clone(memory_format=torch.contiguous_format)

    def _step(self) -> Terms:
        number = self.done + 1
        if self.restart_every and self.done % self.restart_every == 0:
            self.optimizer.restart()
        if self.before_step is not None:
            self.before_step(number)
        factor = self.schedule(self.done / self.steps) if self.schedule else 1.0
        terms: dict[str, Tensor | float] = {}
        self.optimizer.step(self.parameterization.parameter, lambda: self._evaluate(terms), factor)
        with torch.no_grad():
            self.parameterization.project()
            if self.after_step is not None:
                self.after_step(number)
        self.done = number
        return terms

    def _evaluate(self, terms: dict[str, Tensor | float]) -> tuple[Tensor, Tensor]:
        """The loss and its gradient; ``terms`` receives the loss and its terms."""
        with torch.enable_grad():
            loss, parts = self._loss()
            gradient = gradients_of(loss, self.parameterization.parameter)[0]
        self.gradient = gradient
        loss = loss.detach()
        if self._is_checked(self.done + 1) and not math.isfinite(float(loss)):
            raise DivergedError(
                f"The optimization diverged at step {self.done + 1}: its loss is no longer a number; "
                "use a smaller step or smaller weights, or fp32 instead of a shorter precision."
            )
        terms.update({"loss": loss, **parts})
        return loss, gradient

    def _is_checked(self, number: int) -> bool:
        """Whether the loss is checked in this step."""
        every = self.check_every or (1 if self.parameterization.parameter.device.type == "cpu" else _CHECK_EVERY)
        return number % every == 0 or number == self.steps

    def _loss(self) -> tuple[Tensor, Terms]:
        try:
            return self.objective(self.parameterization.image())
        except torch.linalg.LinAlgError as error:  # eigenvalues of a matrix that is not finite
            raise DivergedError(f"The optimization diverged at step {self.done + 1}: {error}") from error

    def state_dict(self) -> dict[str, Any]:
        """The state to resume from: parameter, optimizer state, steps done, random generator."""
        return {
            "done": self.done,
            "parameter": self.parameterization.parameter.detach().clone(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state() if self.generator else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a ``state_dict``."""
        self.done = state["done"]
        with torch.no_grad():
            self.parameterization.parameter.copy_(state["parameter"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.generator is not None and state["generator"] is not None:
            self.generator.set_state(state["generator"])


def cosine(fraction: float) -> float:
    """A schedule that falls from 1 to 0 along half a cosine (Loshchilov & Hutter, ICLR 2017, arXiv:1608.03983)."""
    return 0.5 * (1 + math.cos(math.pi * fraction))


def offset_steps(on_step: OnStep | None, before: int, total: int) -> OnStep | None:
    """``on_step`` for one run of several: its steps are counted from ``before``, out of ``total``."""
    if on_step is None:
        return None

    def shifted(step: Step) -> None:
        on_step(Step(before + step.step, total, step.terms, step.image))

    return shifted
