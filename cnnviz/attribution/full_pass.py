"""FullPass: occluded scores by running the whole network on copies of the image. Works for every network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from cnnviz.attribution.incremental.batches import batch_of_maps
from cnnviz.attribution.incremental.convolution import prepare_convolutions
from cnnviz.attribution.incremental.windows import Position
from cnnviz.network.measuring import measured
from cnnviz.network.outputs import with_class_axis
from cnnviz.runtime.memory import in_batches_that_fit

Run = fx.GraphModule | Callable[[Tensor], Any]
"""A graph in evaluation mode, a black box, or any function: (N, C, H, W) -> logits (N, classes)."""


class FullPass:
    """Scores of one image with patches of it replaced, each by a pass through the whole network.

    Args:
        run: what computes the logits.
        image: the clean image (1, C, H, W), normalized as ``run`` expects it.
    """

    def __init__(self, run: Run, image: Tensor) -> None:
        self._run = prepare_convolutions(run) if isinstance(run, fx.GraphModule) else run
        # A graph takes any memory format; ``x.view(x.size(0), -1)`` in a module takes rows in order only.
        self._format = torch.channels_last if isinstance(run, fx.GraphModule) else torch.contiguous_format
        self._image = image.contiguous(memory_format=self._format)

    def order(self, positions: Sequence[Position]) -> range:
        """Indices of ``positions`` in the order in which they are computed."""
        return range(len(positions))

    @torch.no_grad()
    def scores(self, positions: Sequence[Position], patches: Tensor, batch: int) -> Tensor:
        """Logits (P, classes) with each of ``patches`` (P, C, h, w) at its position, ``batch`` at a time."""

        def scores(part: slice) -> Tensor:
            return self.run(occlude(self._image, positions[part], patches[part]))

        return torch.cat(list(in_batches_that_fit(scores, len(positions), batch)))

    @torch.no_grad()
    def run(self, images: Tensor) -> Tensor:
        """Logits (N, classes) of images (N, C, H, W), normalized."""
        logits: Tensor = with_class_axis(self._run(images.contiguous(memory_format=self._format)), len(images))
        return logits

    @torch.no_grad()
    def batch_size(self) -> int:
        """Number of positions at a time that keeps the working set small."""
        if not isinstance(self._run, fx.GraphModule):
            return batch_of_maps(measured(self._run, self._image).largest, self._image.device)
        meter = _MemoryMeter(self._run)
        meter.run(self._image)
        return batch_of_maps(meter.largest, self._image.device)


class _MemoryMeter(fx.Interpreter):
    """Runs a graph and records the largest number of bytes that one operation reads and writes."""

    largest = 1

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        tensors = [self.env[source] for source in n.all_input_nodes if n.op != "output"] + [result]
        self.largest = max(self.largest, sum(t.nbytes for t in tensors if isinstance(t, Tensor)))
        return result


def occlude(image: Tensor, positions: Sequence[Position], patches: Tensor) -> Tensor:
    """Copies (P, C, H, W) of ``image`` (1, C, H, W), each with its patch (C, h, w) at its (top, left).

    What lies outside the image is ignored.
    """
    height, width = image.shape[2:]
    copies = image.repeat(len(positions), 1, 1, 1).contiguous(memory_format=torch.channels_last)
    for copy, patch, (top, left) in zip(copies, patches, positions, strict=True):
        bottom, right = top + patch.shape[1], left + patch.shape[2]
        inner = patch[:, max(0, -top) : patch.shape[1] - max(0, bottom - height)]
        inner = inner[:, :, max(0, -left) : patch.shape[2] - max(0, right - width)]
        copy[:, max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = inner
    return copies
