"""Occluded scores the plain way: batches of whole pictures with a patch replaced. Right for every network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from cnnviz.attribution.incremental.batches import batch_of_maps
from cnnviz.attribution.incremental.convolution import prepare_convolutions
from cnnviz.runtime.memory import in_batches_that_fit

Position = tuple[int, int]


class FullPass:
    """Scores of one picture with patches of it replaced, each from a pass over the whole network.

    Args:
        graph_module: a frozen graph in evaluation mode, (N, C, H, W) -> logits (N, classes).
        image: the un-occluded picture (1, C, H, W), as the graph takes it.
    """

    def __init__(self, graph_module: fx.GraphModule, image: Tensor) -> None:
        self._graph_module = prepare_convolutions(graph_module)
        self._image = image.contiguous(memory_format=torch.channels_last)

    def order(self, positions: Sequence[Position]) -> range:
        """Indices of ``positions`` in the order to take them: any will do."""
        return range(len(positions))

    @torch.no_grad()
    def scores(self, positions: Sequence[Position], patches: Tensor, batch: int) -> Tensor:
        """Logits (P, classes) with ``patches`` (P, C, h, w) at ``positions`` in turn, ``batch`` at a time."""

        def scores(part: slice) -> Tensor:
            return self._graph_module(occlude(self._image, positions[part], patches[part]))

        return torch.cat(list(in_batches_that_fit(scores, len(positions), batch)))

    @torch.no_grad()
    def batch_size(self) -> int:
        """Positions at a time that keep the working set small."""
        meter = _Meter(self._graph_module)
        meter.run(self._image)
        return batch_of_maps(meter.largest, self._image.device)


class _Meter(fx.Interpreter):
    """Runs a graph and notes the largest number of bytes one operation reads and writes."""

    largest = 1

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        tensors = [self.env[source] for source in n.all_input_nodes if n.op != "output"] + [result]
        self.largest = max(self.largest, sum(t.nbytes for t in tensors if isinstance(t, Tensor)))
        return result


def occlude(image: Tensor, positions: Sequence[Position], patches: Tensor) -> Tensor:
    """Copies (P, C, H, W) of ``image`` (1, C, H, W), each with its patch (C, h, w) at its (top, left).

    What hangs over the border of the picture is cut off.
    """
    height, width = image.shape[2:]
    copies = image.repeat(len(positions), 1, 1, 1).contiguous(memory_format=torch.channels_last)
    for copy, patch, (top, left) in zip(copies, patches, positions, strict=True):
        bottom, right = top + patch.shape[1], left + patch.shape[2]
        inner = patch[:, max(0, -top) : patch.shape[1] - max(0, bottom - height)]
        inner = inner[:, :, max(0, -left) : patch.shape[2] - max(0, right - width)]
        copy[:, max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = inner
    return copies
