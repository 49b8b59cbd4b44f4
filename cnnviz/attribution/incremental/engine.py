"""IncrementalEngine: occluded scores, computed from a cache of the clean image's feature maps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from cnnviz.attribution.incremental.batches import batch_of_windows, positions_per_slice
from cnnviz.attribution.incremental.cache import WHOLE_SHARE, Cache, Group
from cnnviz.attribution.incremental.convolution import PreparedConv2d, prepare_convolutions
from cnnviz.attribution.incremental.errors import NotIncremental
from cnnviz.attribution.incremental.program import Program, ProgramStep
from cnnviz.attribution.incremental.window_ops import as_maps, paste
from cnnviz.attribution.incremental.windows import AxisWindows, Position, Window, whole_window
from cnnviz.network.graph_rewrites import relu_in_place
from cnnviz.runtime.cancellation import check_cancelled
from cnnviz.runtime.precision import at_least_float32

TILE = 4
"""Side, in positions, of the tiles of positions with similar window sizes that are computed together."""


@dataclass(frozen=True)
class WindowUpdate:
    """The part of one feature map that an occlusion changed: ``values`` (B, C, h, w) at ``window``."""

    values: Tensor
    window: Window


class IncrementalEngine:
    """Scores of one image with patches of it replaced.

    Args:
        graph_module: a frozen graph in evaluation mode without in-place operations, as ``cnnviz.network.graph.trace``
            makes it: (N, C, H, W) -> logits (N, classes).
        image: the clean image (1, C, H, W), normalized as the graph expects it.
        patch: height and width of the patches, in pixels.
        positions: every (top, left) that ``scores`` will be called with; patches may extend past the image's border.

    Raises NotIncremental if the graph does not map one tensor to one tensor.
    """

    @torch.no_grad()
    def __init__(
        self,
        graph_module: fx.GraphModule,
        image: Tensor,
        patch: tuple[int, int],
        positions: Sequence[Position],
    ) -> None:
        if image.ndim != 4 or len(image) != 1:
            raise NotIncremental("the engine takes one image (1, C, H, W) at a time")
        rows, cols = (
            AxisWindows([position[axis] for position in positions], patch[axis], image.shape[2 + axis])
            for axis in (0, 1)
        )
        prepared = relu_in_place(prepare_convolutions(graph_module), (PreparedConv2d, nn.BatchNorm2d))
        self._patch = patch
        self._image = image.contiguous(memory_format=torch.channels_last)
        self._program = Program(prepared, self._image, (rows, cols))
        self.cache = Cache(self._program, self._image, len(positions))
        self._tail = self._first_tail_step()

    def order(self, positions: Sequence[Position]) -> list[int]:
        """Indices of ``positions``, ordered so that the windows of a batch have similar sizes.

        All windows of a batch are computed at the size of its largest. So the positions of a group, which share a
        cache, are taken tile by tile from the grid whose rows and columns are sorted by window size.
        """
        row_rank, col_rank = (axis.ranks() for axis in self._program.axes)

        def key(index: int) -> tuple[Group, int, int, int, int]:
            row, col = row_rank[positions[index][0]], col_rank[positions[index][1]]
            return self.cache.group(positions[index]), row // TILE, col // TILE, row, col

        return sorted(range(len(positions)), key=key)

    def batch_size(self) -> int:
        """Number of positions at a time that keeps every operation's working set small."""
        program = self._program
        largest = max(program.largest_operation(step) for step in program.steps if not step.deferred)
        return batch_of_windows(largest * self._image.element_size(), self._image.device, self.cache.nbytes())

    @torch.no_grad()
    def scores(self, positions: Sequence[Position], patches: Tensor, batch: int) -> Tensor:
        """Logits (P, classes) of the image with each of ``patches`` (P, C, h, w) at its position in turn.

        The feature maps are computed for ``batch`` positions at a time; the classifier, which has large weights and
        small inputs, takes all P at once.
        """
        program, tail = self._program, self._tail
        bridge = program.steps[tail - 1].node
        vectors = None  # allocated once, so that memory does not fragment
        for chunk in self._chunks(positions, batch):
            check_cancelled()
            self.cache.load(self.cache.group(positions[chunk.start]))
            run = _Run(program, self.cache, positions[chunk], patches[chunk], self._patch)
            value = run.value_of(bridge, program.steps[:tail])
            vectors = value.new_empty(len(positions), *value.shape[1:]) if vectors is None else vectors
            vectors[chunk] = value
        values: dict[fx.Node, Any] = {bridge: vectors}
        for step in program.steps[tail:]:
            values[step.node] = program.run(step.node, {**program.constants, **values}.__getitem__)
        return values[program.result]

    def _chunks(self, positions: Sequence[Position], batch: int) -> Iterator[slice]:
        """Slices of ``positions`` of at most ``batch``, each within one group."""
        start = 0
        for _, members in itertools.groupby(positions, self.cache.group):
            end = start + len(list(members))
            yield from (slice(first, min(first + batch, end)) for first in range(start, end, batch))
            start = end

    def _first_tail_step(self) -> int:
        """Index of the classifier's first step: from there on every step reads one vector, and no map."""
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
    """The forward pass of one batch of positions."""

    def __init__(
        self, program: Program, cache: Cache, positions: Sequence[Position], patches: Tensor, size: tuple[int, int]
    ) -> None:
        tops, lefts = zip(*positions, strict=True)
        self.program, self.cache = program, cache
        self.batch = len(positions)
        self.values: dict[fx.Node, Any] = {}
        self.windows = _windows(program, tops, lefts)
        self.patch = WindowUpdate(patches, Window(torch.tensor(tops), torch.tensor(lefts), *size))

    def value_of(self, result: fx.Node, steps: Iterable[ProgramStep]) -> Tensor:
        """The value (B, …) of node ``result`` for the whole image, after running ``steps``."""
        for step in steps:
            if not step.deferred:
                self.values[step.node] = self._value(step)
                self._release(step)
        value: Tensor = self._whole(result)
        return value

    def _value(self, step: ProgramStep) -> Any:
        """The step's result: a WindowUpdate for a windowed node, else the whole value."""
        program, node = self.program, step.node
        if node.op == "placeholder":
            return WindowUpdate(self._paste(node, self.patch, self.windows[node]), self.windows[node])
        if step.shape_only:
            return program.run(node, self._with_whole_shape)
        if step.mean is not None:
            return self._mean(step, step.mean)
        if step.local is None:
            return program.run(node, self._whole)
        window = self.windows[node]
        values = program.run(node, self._whole) if self._is_whole(node) else self._window(step)
        return WindowUpdate(values, window)

    def _window(self, step: ProgramStep) -> Tensor:
        """The values (B, C, h, w) of a local step in its window."""
        node, local = step.node, step.local
        assert local is not None
        window, sources = self.windows[node], self.program.variable(node.all_input_nodes)
        if local.run is None:
            around = {s: self._paste(s, self.values[s], window) for s in sources}
            self._release(step)
            return self.program.run(node, {**self.program.constants, **around}.__getitem__)
        (source,) = sources
        crop = self._paste(source, self.values[source], window.read_by(local.windows), local.fill)
        self._release(step)
        result = local.run(crop)
        return result if local.scale is None else result * _scale(local.scale, window).to(result)

    def _paste(self, node: fx.Node, patch: WindowUpdate, window: Window, fill: float = 0.0) -> Tensor:
        """The map of ``node`` at ``window``: ``patch`` pasted over the clean values, (B, C, h, w)."""
        if patch.window.same(window):
            return patch.values
        cells = self.cache[node].read(window, fill)
        paste(cells, window, patch.values, patch.window)
        return as_maps(cells, window)

    def _release(self, step: ProgramStep) -> None:
        """Drop the values that no later step reads."""
        for node in step.finished:
            self.values.pop(node, None)

    def _mean(self, step: ProgramStep, clean: Tensor) -> Tensor:
        """Means of the whole maps: the clean mean plus the change inside the windows."""
        (node,) = self.program.variable(step.node.all_input_nodes)
        (source,) = self.program.variable((step.fused or [step])[0].node.all_input_nodes)
        window, cells = self.windows[node], math.prod(self.program.map_size(node))
        values = self._paste(source, self.values[source], window)
        bytes_each = self.program.largest_operation(*step.fused) * values.element_size()
        parts = values.split(positions_per_slice(bytes_each, values.device))
        sums = torch.cat([at_least_float32(self._run_fused(step.fused, source, part)).sum((2, 3)) for part in parts])
        for each in step.fused:
            self._release(each)
        if self._is_whole(node):
            return _cast_like((sums / cells).reshape(self.batch, *clean.shape[1:]), clean)
        change = (sums - self.cache[node].sums(window)) / cells
        return _cast_like(clean + change.reshape(self.batch, *clean.shape[1:]), clean)

    def _run_fused(self, steps: Iterable[ProgramStep], source: fx.Node, values: Tensor) -> Tensor:
        """The result of the elementwise ``steps``, run in turn on ``values`` of ``source``."""
        for step in steps:
            read = {**self.program.constants, source: values}
            run = step.local.run if step.local else None
            values = run(values) if run else self.program.run(step.node, read.__getitem__)
            source = step.node
        return values

    def _is_whole(self, node: fx.Node) -> bool:
        return _fills(self.windows[node], self.program.map_size(node))

    def _whole(self, node: fx.Node) -> Any:
        """The whole value of a node, not only its window."""
        if node in self.program.constants:
            return self.program.constants[node]
        value = self.values[node]
        if not isinstance(value, WindowUpdate):
            return value
        window = whole_window(self.batch, *self.program.map_size(node))
        self.values[node] = whole = WindowUpdate(self._paste(node, value, window), window)
        return whole.values

    def _with_whole_shape(self, node: fx.Node) -> Any:
        """A tensor of the shape that the whole value of ``node`` has; its values mean nothing."""
        if node in self.program.constants:
            return self.program.constants[node]
        return self.patch.values.new_empty(()).expand(self.batch, *self.program.shapes[node][1:])


def _windows(program: Program, tops: Sequence[int], lefts: Sequence[int]) -> dict[fx.Node, Window]:
    """Windowed node -> the windows of a batch of patches, extended to the whole map where they cover most of it."""
    rows, cols = (axis.windows_for(places) for axis, places in zip(program.axes, (tops, lefts), strict=True))
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
    """Whether the window covers all of a map of ``size``."""
    return (window.height, window.width) == size


def _cast_like(value: Tensor, clean: Tensor) -> Tensor:
    """``value``, computed in float32, cast to the dtype of ``clean`` unless autocast does so."""
    return value if torch.is_autocast_enabled(value.device.type) else value.to(clean.dtype)


def _scale(scale: tuple[Tensor, Tensor], window: Window) -> Tensor:
    """The factors (B, 1, h, w) at the cells of ``window``."""
    rows = scale[0][window.rows[:, None] + torch.arange(window.height)]
    cols = scale[1][window.cols[:, None] + torch.arange(window.width)]
    return (rows[:, :, None] * cols[:, None, :])[:, None]
