"""What a coarse-to-fine run will take, told before it begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cnnviz.network import Network
from cnnviz.runtime.memory import activation_bytes
from cnnviz.synthesis.ascent import Ascent
from cnnviz.synthesis.stages import RESTART, Size, Stage

_HISTORY_BYTES = 2 * RESTART * 3 * 4
"""L-BFGS keeps two float32 pictures of three channels for each step since it began anew."""


@dataclass(frozen=True)
class Estimate:
    """Seconds and bytes a run of ``steps`` over ``sizes`` will take, roughly."""

    steps: int
    sizes: tuple[Size, ...]
    seconds: float
    bytes: int

    def __str__(self) -> str:
        sizes = ", ".join(f"{width}×{height}" for height, width in self.sizes)
        return (
            f"{self.steps} steps at {sizes} will take about {self.seconds:.0f} s "
            f"and {self.bytes / 2**30:.1f} GiB of memory."
        )


def estimate_run(network: Network, stages: Sequence[Stage], prepare: Callable[[Stage], Ascent]) -> Estimate:
    """Measure two steps at the smallest size and reckon with the number of pixels from there."""
    ascent = prepare(stages[0])
    seconds = 0.0
    for _ in range(2):  # the first step warms up
        started = time.perf_counter()
        ascent.steps, ascent.done = 1, 0
        ascent.run()
        seconds = time.perf_counter() - started
    per_pixel = seconds / _area(stages[0].size)
    sizes = tuple(dict.fromkeys(stage.size for stage in stages))
    total = sum(stage.steps * _area(stage.size) * per_pixel for stage in stages)
    largest = max(sizes, key=_area)
    memory = activation_bytes(network, largest) + _HISTORY_BYTES * _area(largest)
    return Estimate(sum(stage.steps for stage in stages), sizes, total, memory)


def _area(size: Size) -> int:
    return size[0] * size[1]
