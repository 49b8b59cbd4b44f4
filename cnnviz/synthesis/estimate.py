"""Time and memory of a multiscale run, estimated before it begins, and whether the network is shown tiles."""

from __future__ import annotations

import bisect
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Size as Shape

from cnnviz.errors import MemoryShortError
from cnnviz.network.network import Network
from cnnviz.network.shapes import output_shapes
from cnnviz.runtime.memory import available_memory
from cnnviz.synthesis.multiscale import Size, Stage
from cnnviz.synthesis.optimization import ImageOptimizer
from cnnviz.synthesis.stage_runs import lbfgs_history
from cnnviz.synthesis.tiling import plan_tiles, smallest_tile

_HELD = 16
"""Float32 images held beside L-BFGS's: the image, its gradient, its shifted copies, the content."""

_BYTES_PER_VALUE = 6.5
"""Bytes a value of a layer's output, forward and backward: VGG-19 takes 4.2, SqueezeNet 6.3 in fp32; bf16 less."""

_USABLE = 0.85  # of the free memory


@dataclass(frozen=True)
class Estimate:
    """Seconds and bytes of a run of ``steps`` over ``sizes``, roughly; ``tile`` is the side of its tiles, or 0."""

    steps: int
    sizes: tuple[Size, ...]
    seconds: float
    bytes: int
    tile: int = 0

    def __str__(self) -> str:
        sizes = ", ".join(f"{width}×{height}" for height, width in self.sizes)
        tiles = f", in tiles of {self.tile} px," if self.tile else ""
        return (
            f"{self.steps} steps at {sizes}{tiles} will take about {self.seconds:.0f} s "
            f"and {self.bytes / 2**30:.1f} GiB of memory."
        )


def estimate_run(
    network: Network,
    layers: Sequence[str],
    stages: Sequence[Stage],
    prepare: Callable[[Stage], ImageOptimizer],
    tile: int = 0,
) -> Estimate:
    """The estimate for ``stages``: two steps are measured at the smallest size and scaled by the number of pixels."""
    run = prepare(stages[0])
    seconds = 0.0
    for _ in range(2):  # the first step warms up
        started = time.perf_counter()
        run.steps, run.done = 1, 0
        run.run()
        seconds = time.perf_counter() - started
    per_pixel = seconds / _pixels_per_step(network, layers, stages[0].size, tile)
    sizes = tuple(dict.fromkeys(stage.size for stage in stages))
    pixels = {size: _pixels_per_step(network, layers, size, tile) for size in sizes}
    total = sum(stage.steps * pixels[stage.size] * per_pixel for stage in stages)
    largest = max(sizes, key=_area)
    used = tile if needs_tiles(largest, tile) else 0
    memory = round(held_bytes(largest) + pass_bytes(network, layers, largest, used) + network.derived_bytes)
    return Estimate(sum(stage.steps for stage in stages), sizes, total, memory, used)


def needs_tiles(size: Size, tile: int) -> bool:
    """Whether an image of ``size`` is shown in tiles where these have the side ``tile`` (0: never)."""
    return bool(tile) and max(size) > tile and _area(size) > tile * tile


def held_bytes(size: Size) -> int:
    """Bytes of the images kept from step to step, L-BFGS's history above all."""
    values = 3 * _area(size)
    return 4 * values * (_HELD + 2 * lbfgs_history(values))


def pass_bytes(network: Network, layers: Sequence[str], size: Size, tile: int = 0) -> float:
    """Bytes of a forward and backward pass up to ``layers`` for an image of ``size``, or a tile of it."""
    shown = (min(size[0], tile), min(size[1], tile)) if tile else size
    graph = network.truncated({name: name for name in layers})
    shapes = output_shapes(graph, (1, network.spec.channels, *shown))
    return _BYTES_PER_VALUE * sum(math.prod(shape) for shape in shapes.values() if isinstance(shape, Shape))


def choose_tile(
    network: Network, layers: Sequence[str], size: Size, wanted: int | None = None, free: int | None = None
) -> int:
    """The side of the tiles in which the network is shown an image of ``size``; 0 for the whole.

    Args:
        wanted: a side, or 0; None finds the largest that fits in memory, where the whole does not.
        free: bytes; None asks the device.

    Raises:
        MemoryShortError: no tile is small enough; the message names a size that would fit.
        UsageError: tiles of ``wanted`` are too small for this network.
    """
    if wanted:
        plan_tiles(network, layers, (2 * wanted, 2 * wanted), wanted)
        return wanted
    free = available_memory(network.device) if free is None else free
    if free is None:
        return 0
    room = _USABLE * free - held_bytes(size) - network.derived_bytes
    if pass_bytes(network, layers, size) <= room:
        return 0
    least = smallest_tile(network, layers) if wanted is None else None
    if least is not None:
        side = int(least * math.sqrt(max(0.0, room) / pass_bytes(network, layers, (least, least)))) // 16 * 16
        if side >= least:
            return side
    raise _too_large(network, layers, size, free, least)


def _too_large(network: Network, layers: Sequence[str], size: Size, free: int, least: int | None) -> MemoryShortError:
    """The error for an image that does not fit, with the shorter side that would: whole, or in the smallest tiles."""
    height, width = size
    shorter, smallest = min(size), network.spec.min_size

    def needed(side: int) -> float:
        scaled = (max(1, height * side // shorter), max(1, width * side // shorter))
        return held_bytes(scaled) + pass_bytes(network, layers, scaled, least or 0) + network.derived_bytes

    most = max(smallest, shorter)
    side = bisect.bisect_right(range(most), _USABLE * free, lo=smallest, key=needed) - 1
    message = (
        f"An image of {width}×{height} pixels needs about {needed(shorter) / 2**30:.1f} GiB in this network and "
        f"{free / 2**30:.1f} GiB are free; "
    )
    if side < smallest:
        return MemoryShortError(f"{message}no size would fit.")
    return MemoryShortError(f"{message}a shorter side of {side} would fit.", remedy="smaller_size", size=side)


def _pixels_per_step(network: Network, layers: Sequence[str], size: Size, tile: int) -> float:
    """Pixels the network is shown in a step, a forward and backward pass; tiles are computed forward once more."""
    if not needs_tiles(size, tile):
        return float(_area(size))
    spans = [[window.stop - window.start for window in part.window] for part in plan_tiles(network, layers, size, tile)]
    return 4 / 3 * sum(height * width for height, width in spans)


def _area(size: Size) -> int:
    return size[0] * size[1]
