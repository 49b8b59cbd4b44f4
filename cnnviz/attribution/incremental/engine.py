"""Occluded scores from a cache of the un-occluded picture's feature maps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from cnnviz.attribution.incremental.batches import fitting_windows, slice_of
from cnnviz.attribution.incremental.cache import WHOLE_SHARE, Cache, Group
from cnnviz.attribution.incremental.convolution import prepare_convolutions
from cnnviz.attribution.incremental.errors import NotIncremental
from cnnviz.attribution.incremental.inplace_ops import rectify_in_place
from cnnviz.attribution.incremental.program import Program, Step
from cnnviz.attribution.incremental.window_ops import as_maps, overlay
from cnnviz.attribution.incremental.windows import AxisPlan, Window, whole_window
from cnnviz.network.network import widened
from cnnviz.runtime.memory import keep_freed_memory

Position = tuple[int, int]

TILE = 4
"""Rows and columns of positions, alike in window sizes, that are taken together."""


@dataclass(frozen=True)
class Patch:
    """What an occlusion changed in one feature map: ``values`` (B, C, h, w) at ``window``."""

    values: Tensor
    window: Window


class IncrementalEngine:
    """Scores of one picture with patches of it replaced.

    Args:
        graph_module: a frozen graph in evaluation mode without in-place operations, as ``cnnviz.network.graph.trace``
            makes it: (N, C, H, W) -> logits (N, classes).
        image: the un-occluded picture (1, C, H, W), as the graph takes it.
        patch: height and width of the patches, in pixels.
        positions: every (top, left) that will be asked for; a patch may hang over the border of the picture.
        window_cap: no window is followed over more than this share of a map's height and width: what a patch changes
            further from its middle is taken as unchanged. Exact from 1 on, and for a patch of most of the picture.

    Raises NotIncremental where the graph is not one tensor in, one tensor out.
    """

    @torch.no_grad()
    def __init__(
        self,
        graph_module: fx.GraphModule,
        image: Tensor,
        patch: tuple[int, int],
        positions: Sequence[Position],
        window_cap: float = 1.0,
    ) -> None:
        if image.ndim != 4 or len(image) != 1:
            raise NotIncremental("the engine takes one picture (1, C, H, W) at a time")
        keep_freed_memory(image.device)
        rows, cols = (
            AxisPlan([position[axis] for position in positions], patch[axis], image.shape[2 + axis], window_cap)
            for axis in (0, 1)
        )
        prepared = rectify_in_place(prepare_convolutions(graph_module))
        self._patch = patch
        self._image = image.contiguous(memory_format=torch.channels_last)
        self._program = Program(prepared, self._image, (rows, cols))
        self.cache = Cache(self._program, self._image, len(positions))
        self._tail = self._first_tail_step()

    def order(self, positions: Sequence[Position]) -> list[int]:
        """Indices of ``positions`` in an order in which a batch's windows are of like size.

        All windows of a batch are computed at the size of its largest. So the positions of a group, which share a
        cache, are taken tile by tile of the grid in which rows and columns stand by the size of their windows.
        """
        row_rank, col_rank = (axis.ranks() for axis in self._program.axes)

        def key(index: int) -> tuple[Group, int, int, int, int]:
            row, col = row_rank[positions[index][0]], col_rank[positions[index][1]]
            return self.cache.group(positions[index]), row // TILE, col // TILE, row, col

        return sorted(range(len(positions)), key=key)

    def batch_size(self) -> int:
        """Positions at a time that keep the working set of every operation small."""
        program = self._program
        largest = max(program.work_of(step) for step in program.steps if not step.waits)
        return fitting_windows(largest * self._image.element_size(), self._image.device, self.cache.nbytes())

    @torch.no_grad()
    def scores(self, positions: Sequence[Position], patches: Tensor, batch: int) -> Tensor:
        """Logits (P, classes) of the picture with ``patches`` (P, C, h, w) put at ``positions`` (P) in turn.

        ``batch`` positions are followed through the feature maps at a time; the classifier, whose weights are
        many and maps few, takes all P at once.
        """
        program, tail = self._program, self._tail
        bridge = program.steps[tail - 1].node
        vectors = None  # made at once: blocks that stay, taken between those that go, leave holes in memory
        for chunk in self._chunks(positions, batch):
            self.cache.hold(self.cache.group(positions[chunk.start]))
            run = _Run(program, self.cache, positions[chunk], patches[chunk], self._patch)
            value = run.value_of(bridge, program.steps[:tail])
            vectors = value.new_empty(len(positions), *value.shape[1:]) if vectors is None else vectors
            vectors[chunk] = value
        values: dict[fx.Node, Any] = {bridge: vectors}
        for step in program.steps[tail:]:
            values[step.node] = program.run(step.node, {**program.constants, **values}.__getitem__)
        return values[program.result]

    def _chunks(self, positions: Sequence[Position], batch: int) -> Iterator[slice]:
        """Parts of ``positions`` of at most ``batch``, each of one group."""
        start = 0
        for _, members in itertools.groupby(positions, self.cache.group):
            end = start + len(list(members))
            yield from (slice(first, min(first + batch, end)) for first in range(start, end, batch))
            start = end

    def _first_tail_step(self) -> int:
        """The first step of the classifier: from there on one value at a time is read, and none is a map."""
        steps = self._program.steps
        place = {step.node: index for index, step in enumerate(steps)}
        first = len(steps)
        for index in range(len(steps) - 1, 0, -1):
            before = steps[index - 1].node
            if not self._program.is_vector(before):
                break
            crossing = {s for step in steps[index:] for s in step.node.all_input_nodes if place.get(s, index) < index}
            if crossing == {before}:
                first = index
        return first


class _Run:
    """One batch of positions on its way through the graph."""

    def __init__(
        self, program: Program, cache: Cache, positions: Sequence[Position], patches: Tensor, size: tuple[int, int]
    ) -> None:
        tops, lefts = zip(*positions, strict=True)
        self.program, self.cache = program, cache
        self.batch = len(positions)
        self.values: dict[fx.Node, Any] = {}
        self.windows = _windows(program, tops, lefts)
        self.patch = Patch(patches, Window(torch.tensor(tops), torch.tensor(lefts), *size))

    def value_of(self, result: fx.Node, steps: Iterable[Step]) -> Tensor:
        """The value (B, …) of the last node of ``steps`` for the whole picture."""
        for step in steps:
            if not step.waits:
                self.values[step.node] = self._value(step)
                self._release(step)
        value: Tensor = self._whole(result)
        return value

    def _value(self, step: Step) -> Any:
        """The step's result: a Patch of a windowed node, else the value for the whole picture."""
        program, node = self.program, step.node
        if node.op == "placeholder":
            return Patch(self._lay(node, self.patch, self.windows[node]), self.windows[node])
        if step.measures:
            return program.run(node, self._shaped)
        if step.mean is not None:
            return self._mean(step, step.mean)
        if step.local is None:
            return program.run(node, self._whole)
        window = self.windows[node]
        values = program.run(node, self._whole) if self._is_whole(node) else self._window(step)
        return Patch(values, window)

    def _window(self, step: Step) -> Tensor:
        """The window (B, C, h, w) of a local step."""
        node, local = step.node, step.local
        assert local is not None
        window, sources = self.windows[node], self.program.variable(node.all_input_nodes)
        if local.run is None:
            around = {s: self._lay(s, self.values[s], window) for s in sources}
            self._release(step)
            return self.program.run(node, {**self.program.constants, **around}.__getitem__)
        (source,) = sources
        crop = self._lay(source, self.values[source], window.read_by(local.stencils), local.fill)
        self._release(step)
        result = local.run(crop)
        return result if local.scale is None else result * _scale(local.scale, window).to(result)

    def _lay(self, node: fx.Node, patch: Patch, window: Window, fill: float = 0.0) -> Tensor:
        """The map of ``node`` at ``window``, with ``patch`` over the un-occluded values: (B, C, h, w)."""
        if patch.window.same(window):
            return patch.values
        cells = self.cache[node].read(window, fill)
        overlay(cells, window, patch.values, patch.window)
        return as_maps(cells, window)

    def _release(self, step: Step) -> None:
        """Let go of what nobody reads after this step."""
        for node in step.finished:
            self.values.pop(node, None)

    def _mean(self, step: Step, clean: Tensor) -> Tensor:
        """Means of whole maps from the change inside the windows."""
        (node,) = self.program.variable(step.node.all_input_nodes)
        (source,) = self.program.variable((step.leading or [step])[0].node.all_input_nodes)
        window, cells = self.windows[node], math.prod(self.program.map_size(node))
        values = self._lay(source, self.values[source], window)
        at_once = slice_of(self.program.work_of(*step.leading) * values.element_size(), values.device)
        led = (self._led(step.leading, source, part) for part in values.split(at_once))
        sums = torch.cat([widened(part).sum((2, 3)) for part in led])
        for each in step.leading:
            self._release(each)
        if self._is_whole(node):
            return _as_before((sums / cells).reshape(self.batch, *clean.shape[1:]), clean)
        change = (sums - self.cache[node].sums(window)) / cells
        return _as_before(clean + change.reshape(self.batch, *clean.shape[1:]), clean)

    def _led(self, steps: Iterable[Step], source: fx.Node, values: Tensor) -> Tensor:
        """What ``steps``, each of one cell to one cell, make of some positions' ``values`` of ``source``."""
        for step in steps:
            read = {**self.program.constants, source: values}
            run = step.local.run if step.local else None
            values = run(values) if run else self.program.run(step.node, read.__getitem__)
            source = step.node
        return values

    def _is_whole(self, node: fx.Node) -> bool:
        return _fills(self.windows[node], self.program.map_size(node))

    def _whole(self, node: fx.Node) -> Any:
        """The value of a node for the whole picture."""
        if node in self.program.constants:
            return self.program.constants[node]
        value = self.values[node]
        if not isinstance(value, Patch):
            return value
        window = whole_window(self.batch, *self.program.map_size(node))
        self.values[node] = whole = Patch(self._lay(node, value, window), window)
        return whole.values

    def _shaped(self, node: fx.Node) -> Any:
        """Something of the shape that the whole value of ``node`` has."""
        if node in self.program.constants:
            return self.program.constants[node]
        return self.patch.values.new_empty(()).expand(self.batch, *self.program.shapes[node][1:])


def _windows(program: Program, tops: Sequence[int], lefts: Sequence[int]) -> dict[fx.Node, Window]:
    """The windows of a batch of patches in every windowed node; all of the map where they cover most of it."""
    rows, cols = (axis.place(places) for axis, places in zip(program.axes, (tops, lefts), strict=True))
    readers = program.axes[0].readers
    windows: dict[fx.Node, Window] = {}
    for node, (top, height) in reversed(rows.items()):
        left, width = cols[node]
        window = Window(top, left, height, width)
        if node in readers:
            whole = _fills(windows[readers[node][0]], program.map_size(readers[node][0]))
        else:
            whole = height * width >= WHOLE_SHARE * math.prod(program.map_size(node))
        windows[node] = whole_window(len(tops), *program.map_size(node)) if whole else window
    return windows


def _fills(window: Window, size: tuple[int, int]) -> bool:
    """Whether the window is all of a map of ``size``."""
    return (window.height, window.width) == size


def _as_before(value: Tensor, clean: Tensor) -> Tensor:
    """A ``value`` that was worked out in float32 in the type of ``clean``, unless autocast sees to it."""
    return value if torch.is_autocast_enabled(value.device.type) else value.to(clean.dtype)


def _scale(scale: tuple[Tensor, Tensor], window: Window) -> Tensor:
    """Factors (B, 1, h, w) of the cells of ``window``."""
    rows = scale[0][window.rows[:, None] + torch.arange(window.height)]
    cols = scale[1][window.cols[:, None] + torch.arange(window.width)]
    return (rows[:, :, None] * cols[:, None, :])[:, None]
