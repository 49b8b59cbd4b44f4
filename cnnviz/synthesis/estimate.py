"""What a coarse-to-fine run will take, told before it begins; and whether the network is shown pieces."""

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
from cnnviz.synthesis.multiscale import Size, Stage, lbfgs_history
from cnnviz.synthesis.optimization import ImageOptimizer
from cnnviz.synthesis.tiling import plan_tiles, smallest_tile

_HELD = 16
"""Float32 pictures held beside L-BFGS's: the picture, its gradient, what is shown of it, the content."""

_BYTES_PER_VALUE = 6.5
"""Of a layer's output, forward and back: VGG-19 takes 4.2 and SqueezeNet 6.3 in fp32; bf16 takes less."""

_IN_USE = 0.85  # of the memory that is free
_SHARES = 64  # parts of a side, to which the size that would fit is told


@dataclass(frozen=True)
class Estimate:
    """Seconds and bytes a run of ``steps`` over ``sizes`` will take, roughly; ``tile`` is the side of pieces, or 0."""

    steps: int
    sizes: tuple[Size, ...]
    seconds: float
    bytes: int
    tile: int = 0

    def __str__(self) -> str:
        sizes = ", ".join(f"{width}×{height}" for height, width in self.sizes)
        tiles = f", the network shown pieces of {self.tile} px," if self.tile else ""
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
    """Measure two steps at the smallest size and reckon with the number of pixels from there."""
    ascent = prepare(stages[0])
    seconds = 0.0
    for _ in range(2):  # the first step warms up
        started = time.perf_counter()
        ascent.steps, ascent.done = 1, 0
        ascent.run()
        seconds = time.perf_counter() - started
    per_pixel = seconds / _shown(network, layers, stages[0].size, tile)
    sizes = tuple(dict.fromkeys(stage.size for stage in stages))
    shown = {size: _shown(network, layers, size, tile) for size in sizes}
    total = sum(stage.steps * shown[stage.size] * per_pixel for stage in stages)
    largest = max(sizes, key=_area)
    parted = tile if parts(largest, tile) else 0
    memory = round(held_bytes(largest) + pass_bytes(network, layers, largest, parted))
    return Estimate(sum(stage.steps for stage in stages), sizes, total, memory, parted)


def parts(size: Size, tile: int) -> bool:
    """Whether a picture of ``size`` is shown in tiles where these are as large as ``tile``."""
    return bool(tile) and max(size) > tile and _area(size) > tile * tile


def held_bytes(size: Size) -> int:
    """Bytes of what is kept of pictures from step to step, L-BFGS's past above all."""
    values = 3 * _area(size)
    return 4 * values * (_HELD + 2 * lbfgs_history(values))


def pass_bytes(network: Network, layers: Sequence[str], size: Size, tile: int = 0) -> float:
    """Bytes that the network takes, forward and back up to ``layers``, for a picture of ``size`` or a piece of it."""
    shown = (min(size[0], tile), min(size[1], tile)) if tile else size
    graph = network.truncated({name: name for name in layers})
    shapes = output_shapes(graph, (1, network.spec.channels, *shown))
    return _BYTES_PER_VALUE * sum(math.prod(shape) for shape in shapes.values() if isinstance(shape, Shape))


def choose_tile(
    network: Network, layers: Sequence[str], size: Size, wanted: int | None = None, free: int | None = None
) -> int:
    """The largest side the network is to be shown of a picture of ``size``; 0 for the whole.

    Args:
        wanted: a side, or 0; None finds the largest that fits in memory, where the whole does not.
        free: bytes; None asks the device.

    Raises:
        MemoryShortError: no piece is small enough; the message names a size that would fit.
        UsageError: pieces of ``wanted`` are too small for this network.
    """
    if wanted:
        plan_tiles(network, layers, (2 * wanted, 2 * wanted), wanted)
        return wanted
    free = available_memory(network.device) if free is None else free
    if free is None:
        return 0
    room = _IN_USE * free - held_bytes(size)
    if pass_bytes(network, layers, size) <= room:
        return 0
    least = smallest_tile(network, layers) if wanted is None else None
    if least is not None:
        side = int(least * math.sqrt(max(0.0, room) / pass_bytes(network, layers, (least, least)))) // 16 * 16
        if side >= least:
            return side
    raise MemoryShortError(_too_large(network, layers, size, free, least))


def _too_large(network: Network, layers: Sequence[str], size: Size, free: int, least: int | None) -> str:
    """That a picture does not fit, and the shorter side that would: whole, or in pieces as small as can be."""

    def needed(share: int) -> float:
        shown = (max(1, size[0] * share // _SHARES), max(1, size[1] * share // _SHARES))
        return held_bytes(shown) + pass_bytes(network, layers, shown, least or 0)

    smallest = math.ceil(network.spec.min_size * _SHARES / min(size))
    room = _IN_USE * free
    fitting = bisect.bisect_right(range(_SHARES), room, lo=smallest, hi=max(smallest, _SHARES), key=needed) - 1
    remedy = f"--size {min(size) * fitting // _SHARES} would fit" if fitting >= smallest else "no size would fit"
    height, width = size
    return (
        f"A picture of {width}×{height} pixels needs about {needed(_SHARES) / 2**30:.1f} GiB in this network and "
        f"{free / 2**30:.1f} GiB are free; {remedy}."
    )


def _shown(network: Network, layers: Sequence[str], size: Size, tile: int) -> float:
    """Pixels the network is shown in a step, a pass forward and back; pieces are shown forward once more."""
    if not parts(size, tile):
        return float(_area(size))
    tiles = plan_tiles(network, layers, size, tile)
    spans = [[window.stop - window.start for window in tile.window] for tile in tiles]
    return 4 / 3 * sum(height * width for height, width in spans)


def _area(size: Size) -> int:
    return size[0] * size[1]
