"""Cache: the clean image's feature maps, cropped to what a group of patch positions reads.

The first maps are the largest, and windows there are small: a quarter of the positions reads little more than a quarter
of the map. One more pass over the image for each group costs less than keeping the rest in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, fx

from cnnviz.attribution.incremental.program import Program, ProgramStep
from cnnviz.attribution.incremental.window_ops import CachedMap
from cnnviz.attribution.incremental.windows import IDENTITY, AxisWindows, Span
from cnnviz.runtime.malloc import trim_malloc

Group = tuple[int, int]
"""Index of the part of the positions' rows, and of their columns."""

WHOLE_SHARE = 0.9
"""A window that covers this fraction of its map is widened to the whole map, so that no crop is needed."""

ROOM = {"cpu": 12 << 20, "cuda": 2 << 30}
"""Bytes of cached maps up to which all positions form one group."""

POSITIONS_FOR_A_PASS = 150
"""Smallest number of positions in a group, so that its extra pass over the image costs little in comparison."""


class Cache:
    """The feature maps of one image, for one group of positions at a time.

    Args:
        program: the steps of the graph.
        image: the clean image (1, C, H, W).
        count: number of positions.
    """

    def __init__(self, program: Program, image: Tensor, count: int) -> None:
        self._program, self._image = program, image
        self._held: Group | None = None
        self._maps: dict[fx.Node, CachedMap] = {}
        self.parts = 1
        room = ROOM["cpu" if image.device.type == "cpu" else "cuda"]
        while self.nbytes() > room and (self.parts + 1) ** 2 * POSITIONS_FOR_A_PASS <= count:
            self.parts += 1

    def group(self, position: tuple[int, int]) -> Group:
        """The group that a position (top, left) belongs to."""
        row, col = (axis.part(offset, self.parts) for axis, offset in zip(self._program.axes, position, strict=True))
        return row, col

    def nbytes(self) -> int:
        """Size of the largest group's maps in bytes."""
        return max(self._bytes_of((row, col)) for row in range(self.parts) for col in range(self.parts))

    def __getitem__(self, node: fx.Node) -> CachedMap:
        return self._maps[node]

    def load(self, group: Group) -> None:
        """Compute and keep the maps of ``group``; drop those of any other."""
        if group == self._held:
            return
        self._maps.clear()
        if self._held is not None:
            trim_malloc()  # the new maps do not fit in the gaps left by windows
        self._held, regions = group, self._regions(group)
        clean: dict[fx.Node, Any] = {}
        for step in self._program.steps:
            clean[step.node] = self._image if step.node.op == "placeholder" else self._value(step, clean)
            for source in step.finished:
                value = clean.pop(source)
                if source in regions:
                    self._maps[source] = CachedMap(value, *regions[source])

    def _value(self, step: ProgramStep, clean: dict[fx.Node, Any]) -> Any:
        return self._program.run(step.node, {**self._program.constants, **clean}.__getitem__)

    def _bytes_of(self, group: Group) -> int:
        program = self._program
        cells = (
            program.shapes[node][1] * (rows[1] - rows[0]) * (cols[1] - cols[0])
            for node, (rows, cols) in self._regions(group).items()
        )
        return sum(cells) * self._image.element_size()

    def _regions(self, group: Group) -> dict[fx.Node, tuple[Span, Span]]:
        """Node -> the rows and columns of its map that the group's windows may read."""
        found: dict[fx.Node, tuple[Span, Span]] = {}
        for step in self._program.steps:
            # The image itself is read by its own step, which pastes the patches into windows of it.
            inputs = [step.node] if step.node.op == "placeholder" else step.node.all_input_nodes
            for source in self._program.variable(inputs):
                if source in self._program.kept and not step.shape_only:
                    needed = self._read(step, source, group)
                    found[source] = _both(found[source], needed) if source in found else needed
        return found

    def _read(self, step: ProgramStep, source: fx.Node, group: Group) -> tuple[Span, Span]:
        """Rows and columns of ``source``'s map that ``step`` may read."""
        program = self._program
        height, width = program.map_size(source)
        if (step.local is None and step.node is not source) or self._may_be_whole(step.node, group):
            return (0, height), (0, width)
        windows = step.local.windows if step.local else (IDENTITY, IDENTITY)
        rows, cols = (
            axis.cells_read(step.node, window, part, self.parts, length)
            for axis, window, part, length in zip(program.axes, windows, group, (height, width), strict=True)
        )
        return rows, cols

    def _may_be_whole(self, node: fx.Node, group: Group) -> bool:
        axes: Sequence[AxisWindows] = self._program.axes
        while node in axes[0].readers:
            node = axes[0].readers[node][0]
        height, width = (axis.largest(node, part, self.parts) for axis, part in zip(axes, group, strict=True))
        rows, cols = self._program.map_size(node)
        return height * width >= WHOLE_SHARE * rows * cols


def _both(first: tuple[Span, Span], second: tuple[Span, Span]) -> tuple[Span, Span]:
    rows, cols = ((min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(first, second, strict=True))
    return rows, cols
