"""Optimisers for one picture: Adam, L-BFGS and plain normalised gradient.

They are torch.optim's Adam and L-BFGS to the last operation (the tests hold them against it), written out here
because the first ``torch.optim`` constructor imports torch's compiler stack, which takes longer than a hundred steps
on a small picture. All of them descend: an objective to be maximised is given with its sign turned.
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
"""The loss (a scalar) and its gradient, of the parameter's shape, where the parameter now stands."""


class Optimizer(Protocol):
    """Moves one tensor downhill in place. Its state can be saved, restored, and forgotten."""

    def step(self, parameter: Tensor, evaluate: Evaluate, factor: float = 1.0) -> Tensor:
        """One step, ``factor`` times its usual length; returns the loss before it. Evaluates exactly once."""
        ...

    def restart(self) -> None:
        """Forget the past, as when the objective has changed."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass
class NormalizedGradient:
    """Steps of one length whatever the gradient's: ``x -= lr * g / norm(g)``, each picture of a batch by itself.

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
        """Has no past."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Has no past."""


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
        # Both corrections of the bias together, which saves going over the roots for the second.
        grown = (1 - second**self.steps) ** 0.5
        root = self.square.sqrt().add_(self.eps * grown)
        parameter.addcdiv_(self.mean, root, value=-lr * grown / (1 - first**self.steps))

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
    (1989). The steps are those of ``torch.optim.LBFGS`` with ``max_iter=1`` called again and again, but for one
    thing: where the direction no longer leads downhill, torch stands still for good; here the history is dropped and
    the next step goes down the gradient. ``factor`` shortens steps as ``lr`` does.

    ``first``: mean absolute change in a step down the gradient, after which the curvature is known. None is torch's,
    which moves a whole picture by 1 in all: in float32 the gradient hardly changes by that, and the next step, which
    trusts in the change, may run away.

    ``growth``: a step is at most so many times as long as the longest before it since the last restart. None, as in
    torch, trusts the first estimates of the curvature.

    ``guard``: where a loss is more than so many times the best one since the last restart (or no number), the step
    that led there is taken back: the parameter returns to that best place, and the history is dropped. None, as in
    torch, lets it run.
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
        loss, gradient = self._evaluated(evaluate)
        with torch.no_grad():
            if self.guard is not None:
                loss, gradient = self._guarded(parameter, loss, gradient)
            flat = gradient.reshape(-1)
            if float(flat.abs().max()) > self.tolerance_grad:
                self._move(parameter, flat, self.lr * factor)
        return loss

    def _evaluated(self, evaluate: Evaluate) -> tuple[Tensor, Tensor]:
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
        """Loss and gradient where the parameter is, after going back if it ran away."""
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
        """The length of a step along ``direction``, shortened where it would leap."""
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
        found, shares = flat.neg(), []
        for change, moved, weight in reversed(self.pairs):
            share = moved.dot(found) * weight
            shares.append(share)
            found.sub_(change * share)
        found.mul_(self.scale)
        for (change, moved, weight), share in zip(self.pairs, reversed(shares), strict=True):
            found.add_(moved * (share - change.dot(found) * weight))
        return found

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
