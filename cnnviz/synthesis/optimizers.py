"""Optimizers of one tensor: Adam, L-BFGS and normalized gradient descent.

They are torch.optim's Adam and L-BFGS to the last operation (the tests compare them), written out here because the
first ``torch.optim`` constructor imports torch's compiler stack, which takes longer than a hundred steps on a small
image. All of them minimize.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from cnnviz.errors import DivergedError

Evaluate = Callable[[], tuple[Tensor, Tensor]]
"""The loss (a scalar) and its gradient, of the parameter's shape, at the current parameter."""


class Optimizer(Protocol):
    """Minimizes by changing one tensor in place. Its state can be saved, restored, and reset."""

    def step(self, parameter: Tensor, evaluate: Evaluate, factor: float = 1.0) -> Tensor:
        """One step, ``factor`` times its usual length; returns the loss before it. Evaluates exactly once."""
        ...

    def restart(self) -> None:
        """Reset the state, as when the objective has changed."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The state to resume from."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a ``state_dict``."""
        ...


@dataclass
class NormalizedGradient:
    """Steps of constant length: ``x -= lr * g / norm(g)``, for each image of a batch separately.

    ``norm`` is ``mean`` (the mean absolute value, as in DeepDream), ``l2`` (the Euclidean norm) or ``none``.
    """

    lr: float
    norm: str = "mean"

    def step(self, parameter: Tensor, evaluate: Evaluate, factor: float = 1.0) -> Tensor:
        loss, gradient = evaluate()
        with torch.no_grad():
            if self.norm != "none":
                gradient = gradient / self._length(gradient).clamp_min(1e-20)
            parameter.add_(gradient, alpha=-self.lr * factor)
        return loss

    def _length(self, gradient: Tensor) -> Tensor:
        axes = tuple(range(1, gradient.ndim))
        if self.norm == "mean":
            return gradient.abs().mean(axes, keepdim=True)
        return gradient.square().sum(axes, keepdim=True).sqrt()

    def restart(self) -> None:
        """Does nothing: there is no state."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Does nothing: there is no state."""


@dataclass
class Adam:
    """Kingma & Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, arXiv:1412.6980."""

    lr: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    steps: int = field(default=0, init=False)
    mean: Tensor | None = field(default=None, init=False, repr=False)
    square: Tensor | None = field(default=None, init=False, repr=False)

    def step(self, parameter: Tensor, evaluate: Evaluate, factor: float = 1.0) -> Tensor:
        loss, gradient = evaluate()
        with torch.no_grad():
            self._update(parameter, gradient, self.lr * factor)
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, lr: float) -> None:
        if self.mean is None or self.square is None:
            self.mean, self.square = torch.zeros_like(parameter), torch.zeros_like(parameter)
        first, second = self.betas
        self.steps += 1
        self.mean.lerp_(gradient, 1 - first)
        self.square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        # Both bias corrections together, which saves a pass over the roots.
        correction = (1 - second**self.steps) ** 0.5
        root = self.square.sqrt().add_(self.eps * correction)
        parameter.addcdiv_(self.mean, root, value=-lr * correction / (1 - first**self.steps))

    def restart(self) -> None:
        self.steps, self.mean, self.square = 0, None, None

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "mean": _copy(self.mean), "square": _copy(self.square)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.mean, self.square = state["steps"], _copy(state["mean"]), _copy(state["square"])


@dataclass
class LBFGS:
    """Limited-memory BFGS without line search, one evaluation a step.

    Liu & Nocedal, "On the limited memory BFGS method for large scale optimization", Mathematical Programming 45
    (1989). The steps are those of ``torch.optim.LBFGS`` with ``max_iter=1`` called repeatedly, with one difference:
    where the direction is no longer a descent direction, torch stops for good; here the history is dropped and the
    next step follows the gradient. ``factor`` shortens steps as ``lr`` does.

    Attributes:
        lr: step length relative to the quasi-Newton step.
        first: mean absolute change in a step along the gradient, after which the curvature is known. None is torch's,
            which changes a whole image by 1 in sum: in float32 the gradient hardly changes by that, and the next
            step, computed from the change, may diverge.
        growth: largest length of a step, as a multiple of the longest before it since the last restart. None, as in
            torch, does not limit the first steps, whose curvature estimates are poor.
        guard: largest loss, as a multiple of the best one since the last restart; where it is exceeded, or not finite,
            the parameter returns to that best value and the history is dropped. None, as in torch, does not.
        history: steps that are remembered.
        tolerance_grad: no step is taken where the gradient is nowhere larger.
        tolerance_change: least descent along a direction.
    """

    lr: float = 1.0
    first: float | None = None
    growth: float | None = None
    guard: float | None = None
    history: int = 100
    tolerance_grad: float = 1e-7
    tolerance_change: float = 1e-9
    steps: int = field(default=0, init=False)
    pairs: deque[tuple[Tensor, Tensor, Tensor]] = field(default_factory=deque, init=False, repr=False)
    direction: Tensor | None = field(default=None, init=False, repr=False)
    length: float = field(default=0.0, init=False)
    scale: Tensor | float = field(default=1.0, init=False, repr=False)
    gradient: Tensor | None = field(default=None, init=False, repr=False)

    best: tuple[Tensor, Tensor, Tensor] | None = field(default=None, init=False, repr=False)
    longest: float = field(default=0.0, init=False)

    def step(self, parameter: Tensor, evaluate: Evaluate, factor: float = 1.0) -> Tensor:
        loss, gradient = self._evaluate(evaluate)
        with torch.no_grad():
            if self.guard is not None:
                loss, gradient = self._guarded(parameter, loss, gradient)
            flat = gradient.reshape(-1)
            if float(flat.abs().max()) > self.tolerance_grad:
                self._move(parameter, flat, self.lr * factor)
        return loss

    def _evaluate(self, evaluate: Evaluate) -> tuple[Tensor, Tensor]:
        try:
            loss, gradient = evaluate()
        except DivergedError:
            if self.guard is None or self.best is None:
                raise
            return torch.tensor(torch.inf), self.best[2]
        if self.guard is not None and self.best is not None and not math.isfinite(float(loss)):
            return torch.tensor(torch.inf), self.best[2]
        return loss, gradient

    def _guarded(self, parameter: Tensor, loss: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and gradient at the parameter, which is reset to the best one if the loss diverged."""
        assert self.guard is not None
        if self.best is None or float(loss) <= float(self.best[0]):
            self.best = (loss.detach().clone(), parameter.detach().clone(), gradient.clone())
        elif float(loss) > float(self.best[0]) + (self.guard - 1) * abs(float(self.best[0])):
            self._forget()
            parameter.copy_(self.best[1])
            return self.best[0], self.best[2]
        return loss, gradient

    def _move(self, parameter: Tensor, flat: Tensor, lr: float) -> None:
        if self.steps:
            self._remember(flat)
            direction = self._two_loops(flat)
            length = lr
            if float(flat.dot(direction)) > -self.tolerance_change:
                self._forget()
        if not self.steps:
            direction = flat.neg()
            length = self._first_length(flat) * lr
        length = self._bounded(direction, length)
        self.steps += 1
        self.direction, self.length, self.gradient = direction, length, flat.clone()
        parameter.add_(direction.view(parameter.shape), alpha=length)

    def _bounded(self, direction: Tensor, length: float) -> float:
        """The length of a step along ``direction``, limited by ``growth``."""
        if self.growth is None:
            return length
        distance = float(direction.norm()) * length
        if self.longest and distance > self.growth * self.longest:
            length, distance = length * self.growth * self.longest / distance, self.growth * self.longest
        self.longest = max(self.longest, distance)
        return length

    def _first_length(self, flat: Tensor) -> float:
        total = float(flat.abs().sum())
        return min(1.0, 1.0 / total) if self.first is None else self.first * flat.numel() / total

    def _remember(self, flat: Tensor) -> None:
        """Add the last step and the change of the gradient along it, where the curvature is positive."""
        assert self.direction is not None and self.gradient is not None
        change, moved = flat.sub(self.gradient), self.direction.mul(self.length)
        curvature = change.dot(moved)
        if float(curvature) <= 1e-10:
            return
        if len(self.pairs) == self.history:
            self.pairs.popleft()
        self.pairs.append((change, moved, 1.0 / curvature))
        self.scale = curvature / change.dot(change)

    def _two_loops(self, flat: Tensor) -> Tensor:
        """The quasi-Newton direction: the inverse Hessian's estimate times the negative gradient."""
        direction, alphas = flat.neg(), []
        for change, moved, rho in reversed(self.pairs):
            alpha = moved.dot(direction) * rho
            alphas.append(alpha)
            direction.sub_(change * alpha)
        direction.mul_(self.scale)
        for (change, moved, rho), alpha in zip(self.pairs, reversed(alphas), strict=True):
            direction.add_(moved * (alpha - change.dot(direction) * rho))
        return direction

    def restart(self) -> None:
        self.best = None
        self._forget()

    def _forget(self) -> None:
        self.steps, self.direction, self.length, self.scale, self.gradient = 0, None, 0.0, 1.0, None
        self.longest = 0.0
        self.pairs.clear()

    def state_dict(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "pairs": [tuple(map(_copy, pair)) for pair in self.pairs],
            "direction": _copy(self.direction),
            "length": self.length,
            "scale": _copy(self.scale),
            "gradient": _copy(self.gradient),
            "longest": self.longest,
            "best": None if self.best is None else tuple(map(_copy, self.best)),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.length, self.longest = state["steps"], state["length"], state["longest"]
        self.direction, self.gradient = _copy(state["direction"]), _copy(state["gradient"])
        self.scale = _copy(state["scale"])
        self.best = None if state["best"] is None else tuple(map(_copy, state["best"]))  # type: ignore[assignment]
        self.pairs = deque(tuple(map(_copy, pair)) for pair in state["pairs"])  # type: ignore[misc]


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value
