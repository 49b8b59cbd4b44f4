"""The one optimisation loop: every picture this toolkit paints by gradients is made here.

A picture is described by a parameterisation, judged by an objective, and moved by an optimiser. Visualisation,
dreams, inversion, texture and style differ in nothing but these three.
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
"""The parts of a loss by name, as they are reported."""

Objective = Callable[[Tensor], tuple[Tensor, Terms]]
"""Pixels (N, 3, H, W) -> the loss to be made small (a scalar; for a batch, the sum of its pictures'), and its
parts. What is to be made large enters with its sign turned."""

Schedule = Callable[[float], float]
"""Share of the run that is done, 0 to 1 -> what the optimiser's step size is multiplied by."""

Hook = Callable[[int], None]
"""Called around each step with its number, which counts from 1."""

_CHECK_EVERY = 16
"""Steps between two looks at the loss on a device that would have to wait for each."""


class Parameterization(Protocol):
    """A picture as the tensor that is optimised, and how it becomes pixels."""

    parameter: Tensor
    """A leaf that requires a gradient."""

    def image(self) -> Tensor:
        """Pixels (N, 3, H, W) of the parameter as it stands; differentiable."""
        ...

    def project(self) -> None:
        """Bring the parameter back, in place, to where it stands for a picture; called after each step."""
        ...


@dataclass
class ImageOptimizer:
    """A run of ``steps`` optimisation steps over a picture.

    It can be stopped at any moment, by an exception from a hook or by Ctrl-C: the parameter is changed by a single
    operation in each step, so that ``image()`` is whole at all times, and ``run`` goes on from where it stopped.

    Args:
        picture: what is optimised.
        objective: what is made small.
        optimizer: what moves the parameter.
        steps: how many steps the whole run has.
        schedule: scales the step size over the run.
        restart_every: the optimiser forgets its past each so many steps, as it must where the objective changes
            then; 0 never.
        before_step: called before each step (and after a restart), where random shifts are drawn anew.
        after_step: called after each step, where the picture is blurred or clipped now and then.
        generator: the source of all chance in objective and hooks, kept in ``state_dict``.
        check_every: the loss is looked at each so many steps, and at the last, lest it be no number. None is 1 on a
            CPU, and 16 where looking makes the device wait.
    """

    picture: Parameterization
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
    """Of the loss with respect to the parameter, as last computed."""

    def run(self, on_step: OnStep | None = None) -> Tensor:
        """Take the steps that remain and return the pixels (N, 3, H, W), in [0, 1].

        Raises DivergedError where the loss is no longer a number.
        """
        while self.done < self.steps:
            terms = self._step()
            if on_step is not None:
                on_step(Step(self.done, self.steps, LazyFloats(terms), self.image))
        return self.image()

    def image(self) -> Tensor:
        """The pixels so far (N, 3, H, W), in [0, 1]."""
        with torch.no_grad():
            return self.picture.image().detach().clamp(0, 1).clone(memory_format=torch.contiguous_format)

    def _step(self) -> Terms:
        number = self.done + 1
        if self.restart_every and self.done % self.restart_every == 0:
            self.optimizer.restart()
        if self.before_step is not None:
            self.before_step(number)
        factor = self.schedule(self.done / self.steps) if self.schedule else 1.0
        terms: dict[str, Tensor | float] = {}
        self.optimizer.step(self.picture.parameter, lambda: self._evaluate(terms), factor)
        with torch.no_grad():
            self.picture.project()
            if self.after_step is not None:
                self.after_step(number)
        self.done = number
        return terms

    def _evaluate(self, terms: dict[str, Tensor | float]) -> tuple[Tensor, Tensor]:
        """The loss and its gradient; ``terms`` receives the loss and its parts."""
        with torch.enable_grad():
            loss, parts = self._judged()
            gradient = gradients_of(loss, self.picture.parameter)[0]
        self.gradient = gradient
        loss = loss.detach()
        if self._is_due(self.done + 1) and not math.isfinite(float(loss)):
            raise DivergedError(
                f"The optimisation diverged at step {self.done + 1}: its loss is no longer a number; "
                "use a smaller step or smaller weights, or fp32 instead of a shorter precision."
            )
        terms.update({"loss": loss, **parts})
        return loss, gradient

    def _is_due(self, number: int) -> bool:
        """Whether the loss is looked at in this step."""
        every = self.check_every or (1 if self.picture.parameter.device.type == "cpu" else _CHECK_EVERY)
        return number % every == 0 or number == self.steps

    def _judged(self) -> tuple[Tensor, Terms]:
        try:
            return self.objective(self.picture.image())
        except torch.linalg.LinAlgError as error:  # eigenvalues of what is no number
            raise DivergedError(f"The optimisation diverged at step {self.done + 1}: {error}") from error

    def state_dict(self) -> dict[str, Any]:
        """All it takes to go on later: the parameter, the optimiser's memory, the steps done, the generator."""
        return {
            "done": self.done,
            "parameter": self.picture.parameter.detach().clone(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state() if self.generator else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
        self.done = state["done"]
        with torch.no_grad():
            self.picture.parameter.copy_(state["parameter"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.generator is not None and state["generator"] is not None:
            self.generator.set_state(state["generator"])


def cosine(share: float) -> float:
    """A schedule that falls from 1 to 0 along half a cosine (Loshchilov & Hutter, ICLR 2017, arXiv:1608.03983)."""
    return 0.5 * (1 + math.cos(math.pi * share))


def offset_steps(on_step: OnStep | None, before: int, total: int) -> OnStep | None:
    """``on_step`` for one run among several: its steps count on from ``before``, towards ``total``."""
    if on_step is None:
        return None

    def tell(step: Step) -> None:
        on_step(Step(before + step.step, total, step.terms, step.image))

    return tell
