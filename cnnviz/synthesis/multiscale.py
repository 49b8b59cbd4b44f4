"""Multiscale optimization: an image is optimized at a small size first, then enlarged and optimized again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from cnnviz.errors import DivergedError
from cnnviz.imaging import pixel_ops
from cnnviz.runtime.progress import OnStep
from cnnviz.synthesis.adam_state import transfer_adam_state
from cnnviz.synthesis.optimization import ImageOptimizer, offset_steps
from cnnviz.synthesis.optimizers import Adam, Optimizer

_GROWTH = 1.5  # steps at a size, as a multiple of those at the one before

Size = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True)
class Stage:
    """One size of the image and the steps taken at it; ``number`` counts from 0, the coarsest.

    ``uses_adam``: Adam refines what the stage before made at the same size; ``is_fixed``: the image is not shifted.
    """

    number: int
    size: Size
    steps: int
    uses_adam: bool = False
    is_fixed: bool = False


Prepare = Callable[[Stage, Tensor], ImageOptimizer]
"""A stage and its initial image (1, 3, H, W) -> the run. Called twice, it gives the same run."""


def plan_stages(
    size: Size, steps: int, scales: int, adam_fraction: float = 0.0, fixed_fraction: float = 0.0
) -> list[Stage]:
    """``scales`` sizes up to ``size``, each twice the last, with ``steps`` divided among them, more for the larger.

    ``adam_fraction`` is the fraction of each size's steps that Adam takes, ``fixed_fraction`` the fraction of the last
    size's steps without shifts.
    """
    weights = [_GROWTH**i for i in range(scales)]
    bounds = [round(steps * sum(weights[:i]) / sum(weights)) for i in range(scales + 1)]
    stages: list[Stage] = []
    for i in range(scales):
        height, width = (max(1, round(side / 2 ** (scales - 1 - i))) for side in size)
        count = bounds[i + 1] - bounds[i]
        fixed = round(count * fixed_fraction) if i == scales - 1 else 0
        adam = round((count - fixed) * adam_fraction)
        for part, kind in ((count - adam - fixed, ()), (adam, (True,)), (fixed, (True, True))):
            if part:
                stages.append(Stage(len(stages), (height, width), part, *kind))
    return stages


def scales_for(size: Size, least: int) -> int:
    """How many scales, halving, keep the geometric mean of the sides at or above ``least`` pixels; at least 1."""
    return 1 + max(0, int(math.log2(math.sqrt(size[0] * size[1]) / least) + 1e-6))


def fitting_scales(scales: int, size: Size, least: int) -> int:
    """``scales``, or as many of them as keep the shorter side, halved from each to the next, at ``least`` pixels."""
    return min(scales, 1 + max(0, int(math.log2(min(size) / least) + 1e-6)))


def resize(pixels: Tensor, size: Size, *, circular: bool = False) -> Tensor:
    """Pixels at another size, bicubic, antialiased where they become smaller, in [0, 1].

    ``circular`` images wrap around their borders.
    """
    height, width = pixels.shape[2:]
    if (height, width) == tuple(size):
        return pixels
    if circular:
        return _resize_circular(pixels, size)
    return pixel_ops.resize(pixels, size, "bicubic").clamp(0, 1)


def _resize_circular(pixels: Tensor, size: Size) -> Tensor:
    """``resize`` of an image that wraps around: the middle one of three by three copies.

    Enlarged, its first pixel stays where it is, not its corner. Twice the size, every second pixel is then an old one
    and the others lie midway, all steps alike; otherwise steps within an old pixel are smaller than those between two,
    and that trace of a grid, in the phase of the border, stays.
    """
    tiled = pixels.repeat(1, 1, 3, 3)
    if size[0] >= pixels.shape[2] and size[1] >= pixels.shape[3]:
        closed = F.pad(tiled, (0, 1, 0, 1), mode="circular")
        whole = 3 * size[0] + 1, 3 * size[1] + 1
        resized = F.interpolate(closed, whole, mode="bicubic", align_corners=True).clamp(0, 1)
    else:
        resized = resize(tiled, (3 * size[0], 3 * size[1]))
    return resized[:, :, size[0] : 2 * size[0], size[1] : 2 * size[1]].contiguous()


@dataclass
class MultiscaleOptimizer:
    """An optimization over ``stages`` that can be stopped at any moment, saved and resumed.

    Where a stage diverges, what it made is dropped and the stage is run again with Adam; ``remarks`` says so.

    Args:
        start: the initial image (1, 3, H, W), at any size.
        stages: from coarse to fine.
        prepare: makes the run of a stage.
        circular: the image wraps around its borders.
        fallback_lr: Adam's learning rate, in the parameter's units, where a stage diverged.
        keep_adam_state: Adam's moments are kept from stage to stage, resampled to its size.
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
    current: ImageOptimizer | None = field(default=None, init=False, repr=False)
    """The run of the current stage."""
    previous: Optimizer | None = field(default=None, init=False, repr=False)
    """The optimizer of the stage before."""

    @property
    def total(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    @property
    def done(self) -> int:
        """Steps taken so far."""
        before = sum(stage.steps for stage in self.stages[: self.number])
        return before + (self.current.done if self.current else 0)

    def run(self, on_step: OnStep | None = None) -> Tensor:
        """Take the remaining steps and return the pixels (1, 3, H, W), in [0, 1].

        Raises DivergedError where Adam diverges as well.
        """
        while self.number < len(self.stages):
            self._run_stage(on_step)
            assert self.current is not None
            self.previous = self.current.optimizer if self.keep_adam_state else None
            self.start, self.current, self.rescued = self.current.image(), None, False
            self.number += 1
        return self.start

    def image(self) -> Tensor:
        """The pixels so far, at the size of the current stage."""
        return self.current.image() if self.current else self.start.clamp(0, 1)

    def _run_stage(self, on_step: OnStep | None) -> None:
        stage = self.stages[self.number]
        before = sum(other.steps for other in self.stages[: self.number])
        shifted = offset_steps(on_step, before, self.total)
        self.current = self.current or self._begin(stage)
        try:
            self.current.run(shifted)
        except DivergedError as error:
            if self.rescued:
                raise
            self.remarks.append(f"{error} It was run again with Adam from where this size began.")
            self.rescued = True
            self.current = self._begin(stage)
            self.current.run(shifted)

    def _begin(self, stage: Stage) -> ImageOptimizer:
        run = self.prepare(stage, resize(self.start, stage.size, circular=self.circular))
        if self.rescued:
            run.optimizer, run.restart_every = Adam(self.fallback_lr), 0
        else:
            transfer_adam_state(self.previous, run.optimizer, stage.size)
        return run

    def state_dict(self) -> dict[str, Any]:
        """The state to resume from, with the same ``stages`` and ``prepare``."""
        return {
            "start": self.start.clone(),
            "number": self.number,
            "rescued": self.rescued,
            "ascent": self.current.state_dict() if self.current else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a ``state_dict``."""
        self.start, self.number, self.rescued = state["start"].to(self.start), state["number"], state["rescued"]
        self.current = None
        if state["ascent"] is not None:
            self.current = self._begin(self.stages[self.number])
            self.current.load_state_dict(state["ascent"])
