"""Coarse to fine: a picture is painted small, enlarged, and painted on, so that large shapes come first."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.errors import DivergedError
from cnnviz.imaging import pixel_ops
from cnnviz.runtime.progress import OnStep
from cnnviz.synthesis.adam_state import transfer_adam_state
from cnnviz.synthesis.optimization import Hook, ImageOptimizer, Objective, Terms, offset_steps
from cnnviz.synthesis.optimizers import LBFGS, Adam, Optimizer
from cnnviz.synthesis.parameterization import Pixels

RESTART = 25
"""L-BFGS forgets its past each so many steps: the picture is moved then, which changes the objective."""

_RUN_AWAY = 1e3
_LEAST_PAIRS, _MOST_PAIRS, _PAIRS_BYTES = 10, 50, 1 << 30
_GROWTH = 1.5  # steps at a size, as a multiple of those at the one before
_FIRST = 2e-3  # pixel units

Size = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True)
class Stage:
    """One size of the picture and the steps taken at it; ``number`` counts from 0, the coarsest.

    ``polish``: whether it only goes over what the stage before painted at the same size; ``in_place``: and that
    without moving it, as whoever looks at it through the network will see it.
    """

    number: int
    size: Size
    steps: int
    polish: bool = False
    in_place: bool = False


Prepare = Callable[[Stage, Tensor], ImageOptimizer]
"""A stage and the picture it begins with (1, 3, H, W) -> the run. Asked twice, it gives the same run."""


def plan_stages(size: Size, steps: int, scales: int, polish: float = 0.0, in_place: float = 0.0) -> list[Stage]:
    """``scales`` sizes up to ``size``, each twice the last, with ``steps`` shared among them, more for the larger.

    ``polish`` is the share of each size's steps that is left for going over it, ``in_place`` the share of the last
    size's that is done without moving it.
    """
    weights = [_GROWTH**i for i in range(scales)]
    bounds = [round(steps * sum(weights[:i]) / sum(weights)) for i in range(scales + 1)]
    stages: list[Stage] = []
    for i in range(scales):
        height, width = (max(1, round(side / 2 ** (scales - 1 - i))) for side in size)
        share = bounds[i + 1] - bounds[i]
        final = round(share * in_place) if i == scales - 1 else 0
        last = round((share - final) * polish)
        for count, kind in ((share - last - final, ()), (last, (True,)), (final, (True, True))):
            if count:
                stages.append(Stage(len(stages), (height, width), count, *kind))
    return stages


def scales_for(size: Size, least: int) -> int:
    """How many scales, halving, keep the geometric mean of the sides at or above ``least`` pixels; at least 1."""
    return 1 + max(0, int(math.log2(math.sqrt(size[0] * size[1]) / least) + 1e-6))


def fitting_scales(scales: int, size: Size, least: int) -> int:
    """``scales``, or as many of them as keep the shorter side, halved from each to the next, at ``least`` pixels."""
    return min(scales, 1 + max(0, int(math.log2(min(size) / least) + 1e-6)))


def resize(pixels: Tensor, size: Size, *, circular: bool = False) -> Tensor:
    """Pixels at another size, bicubic, antialiased where they become smaller, in [0, 1].

    ``circular`` pictures go on on their other side.
    """
    height, width = pixels.shape[2:]
    if (height, width) == tuple(size):
        return pixels
    if circular:
        return _resize_circular(pixels, size)
    return pixel_ops.resize(pixels, size, "bicubic").clamp(0, 1)


def _resize_circular(pixels: Tensor, size: Size) -> Tensor:
    """``resize`` of a picture that goes on on its other side: of three by three of them the middle one.

    Enlarged, its first pixel stays where it is, not its corner. Twice the size, every second pixel is then an old one
    and the others lie midway, all steps alike; otherwise steps within an old pixel are smaller than those between two,
    and that trace of a grid, in the phase of the border, stays.
    """
    tiled = pixels.repeat(1, 1, 3, 3)
    if size[0] >= pixels.shape[2] and size[1] >= pixels.shape[3]:
        closed = F.pad(tiled, (0, 1, 0, 1), mode="circular")
        whole = 3 * size[0] + 1, 3 * size[1] + 1
        found = F.interpolate(closed, whole, mode="bicubic", align_corners=True).clamp(0, 1)
    else:
        found = resize(tiled, (3 * size[0], 3 * size[1]))
    return found[:, :, size[0] : 2 * size[0], size[1] : 2 * size[1]].contiguous()


def lbfgs_run(
    picture: Pixels, objective: Objective, steps: int, before_step: Hook, restart: int = RESTART
) -> ImageOptimizer:
    """A run of L-BFGS that starts anew every ``restart`` steps and is only then brought back to [0, 1].

    A loss a thousand times the first raises DivergedError: without a line search, L-BFGS can run away long before its
    loss is no number any more.
    """
    first: list[float] = []

    def before(step: int) -> None:
        if (step - 1) % restart == 0:
            with torch.no_grad():
                picture.parameter.clamp_(0, 1)
        before_step(step)

    def watched(pixels: Tensor) -> tuple[Tensor, Terms]:
        loss, terms = objective(pixels)
        value = float(loss.detach())
        if not first:
            first.append(value)
        if abs(value) > _RUN_AWAY * (abs(first[0]) + 1):
            raise DivergedError(f"The optimisation ran away: its loss grew from {first[0]:.4g} to {value:.4g}.")
        return loss, terms

    optimizer = LBFGS(history=min(restart, lbfgs_history(picture.parameter.numel())), first=_FIRST)
    return ImageOptimizer(picture, watched, optimizer, steps, restart_every=restart, before_step=before)


def lbfgs_history(values: int) -> int:
    """How many steps L-BFGS remembers for a picture of so many values: as many as help, in a GiB if they can."""
    return max(_LEAST_PAIRS, min(_MOST_PAIRS, _PAIRS_BYTES // (2 * 4 * values)))


@dataclass
class MultiscaleOptimizer:
    """A run over ``stages``; can be stopped at any moment, saved, and gone on with.

    Where a stage diverges (its loss is no number any more), what it has painted is dropped and it is run again with
    Adam; ``remarks`` tells of it.

    Args:
        start: the picture to begin with, at any size.
        stages: from coarse to fine.
        prepare: makes the run of a stage.
        circular: the picture goes on on its other side.
        rescue_rate: Adam's step size, in the parameter's units, where a stage diverged.
        carries: Adam's moments are carried from stage to stage, resampled to its size.
    """

    start: Tensor
    stages: Sequence[Stage]
    prepare: Prepare
    circular: bool = False
    fallback_lr: float = 0.02
    keep_adam_state: bool = False
    remarks: list[str] = field(default_factory=list, init=False)
    number: int = field(default=0, init=False)
    rescued: bool = field(default=False, init=False)
    ascent: ImageOptimizer | None = field(default=None, init=False, repr=False)
    past: Optimizer | None = field(default=None, init=False, repr=False)
    """Of the stage before."""

    @property
    def total(self) -> int:
        return sum(stage.steps for stage in self.stages)

    @property
    def done(self) -> int:
        before = sum(stage.steps for stage in self.stages[: self.number])
        return before + (self.ascent.done if self.ascent else 0)

    def run(self, on_step: OnStep | None = None) -> Tensor:
        """Take the steps that remain and return the pixels (1, 3, H, W), in [0, 1].

        Raises DivergedError where Adam diverges as well.
        """
        while self.number < len(self.stages):
            self._run_stage(on_step)
            assert self.ascent is not None
            self.past = self.ascent.optimizer if self.keep_adam_state else None
            self.start, self.ascent, self.rescued = self.ascent.image(), None, False
            self.number += 1
        return self.start

    def image(self) -> Tensor:
        """The pixels so far, at the size of the stage that is running."""
        return self.ascent.image() if self.ascent else self.start.clamp(0, 1)

    def _run_stage(self, on_step: OnStep | None) -> None:
        stage = self.stages[self.number]
        before = sum(other.steps for other in self.stages[: self.number])
        tell = offset_steps(on_step, before, self.total)
        self.ascent = self.ascent or self._begin(stage)
        try:
            self.ascent.run(tell)
        except DivergedError as error:
            if self.rescued:
                raise
            self.remarks.append(f"{error} It was run again with Adam from where this size began.")
            self.rescued = True
            self.ascent = self._begin(stage)
            self.ascent.run(tell)

    def _begin(self, stage: Stage) -> ImageOptimizer:
        ascent = self.prepare(stage, resize(self.start, stage.size, circular=self.circular))
        if self.rescued:
            ascent.optimizer, ascent.restart_every = Adam(self.fallback_lr), 0
        else:
            transfer_adam_state(self.past, ascent.optimizer, stage.size)
        return ascent

    def state_dict(self) -> dict[str, Any]:
        """All it takes to go on later, with ``stages`` and ``prepare`` as they are."""
        return {
            "start": self.start.clone(),
            "number": self.number,
            "rescued": self.rescued,
            "ascent": self.ascent.state_dict() if self.ascent else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
        self.start, self.number, self.rescued = state["start"].to(self.start), state["number"], state["rescued"]
        self.ascent = None
        if state["ascent"] is not None:
            self.ascent = self._begin(self.stages[self.number])
            self.ascent.load_state_dict(state["ascent"])


@dataclass
class GridShift:
    """Where the picture lies in the network's stride grid: drawn anew each ``every`` steps.

    A network of stride 16 treats each 16th pixel apart, and a picture made for it shows that grid. Painted at many
    positions in turn, no grid is left. The position follows from ``seed`` and the step alone, so that a run that was
    stopped goes on alike.

    ``largest``: the stride to be covered, in pixels; ``circular``: the picture goes on on its other side, and may lie
    anywhere, in multiples of ``step`` pixels; otherwise it is reflected.
    """

    largest: int
    every: int
    seed: int
    circular: bool = False
    step: int = 1
    offset: tuple[int, int] = (0, 0)
    _era: int = field(default=-1, init=False)

    def draw(self, step: int) -> bool:
        """Settle the position for ``step``, which counts from 1; whether it is another one than before."""
        era = (step - 1) // self.every
        if era == self._era or not self.largest:
            return False
        self._era = era
        chance = torch.Generator().manual_seed(self.seed * 1_000_003 + era)
        down, right = torch.randint(0, 1 << 30, (2,), generator=chance).tolist()
        self.offset = (down * self.step, right * self.step)
        return True

    def __call__(self, pixels: Tensor) -> Tensor:
        """Pixels (N, C, H, W) at this position, within a border of what is on the other side, or reflected.

        The sides become ``largest`` longer. The border also keeps the zeros that networks pad with away.
        """
        height, width = pixels.shape[2:]
        room = min(self.largest, height - 1, width - 1)
        if room <= 0:
            return pixels
        down, right = self.offset
        if self.circular:
            pixels = pixels.roll((down % height, right % width), (2, 3))
        down, right = down % (room + 1), right % (room + 1)
        mode = "circular" if self.circular else "reflect"
        return F.pad(pixels, (right, room - right, down, room - down), mode=mode)
