"""The scores of a picture under every patch position: the one entry to both ways of computing them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, fx

from cnnviz.attribution.full_pass import FullPass
from cnnviz.attribution.incremental.engine import IncrementalEngine
from cnnviz.attribution.incremental.errors import NotIncremental

Position = tuple[int, int]
Engine = Literal["auto", "incremental", "full"]

_BATCHES_PER_REPORT = 4
"""Batches between two calls of ``on_progress``; their feature vectors go through the classifier together."""


@torch.no_grad()
def score_positions(
    graph_module: fx.GraphModule,
    image: Tensor,
    positions: Sequence[Position],
    patch: int | tuple[int, int],
    fill_pixels: Tensor,
    *,
    batch: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    engine: Engine = "auto",
    window_cap: float = 1.0,
) -> Tensor:
    """Logits (P, classes) of ``image`` with one patch replaced, for each of P positions.

    Args:
        graph_module: a frozen torch.fx graph in evaluation mode without in-place operations, as
            ``cnnviz.network.graph.trace`` makes it: (N, C, H, W) -> logits (N, classes).
        image: the picture (1, C, H, W), as the graph takes it.
        positions: (top, left) of each patch in pixels. A patch may hang over the border; what hangs over is
            cut off.
        patch: side, or height and width, of the patches in pixels.
        fill_pixels: the picture that shows through the patches, broadcastable to (1, C, H, W): one colour
            (1, C, 1, 1), a blurred copy, noise.
        batch: positions computed at a time; if None, as many as keep the working set small.
        on_progress: called with the number of positions done and of all.
        engine: ``incremental`` recomputes only what a patch can reach and is exact up to rounding (raises
            NotIncremental for graphs it cannot follow); ``full`` runs the whole network each time; ``auto``
            takes the first that can.
        window_cap: the largest share of a map's side that the incremental engine follows a patch over; exact from
            1 on. (The full pass is exact whatever it is.)

    Returns: logits (P, classes), in the order of ``positions``; P must not be 0.
    """
    size = (patch, patch) if isinstance(patch, int) else patch
    scorer = _scorer(graph_module, image, size, positions, engine, window_cap)
    batch = batch or scorer.batch_size()
    fill = fill_pixels.expand_as(image)[0]
    order = list(scorer.order(positions))
    scores = None
    for start in range(0, len(order), batch * _BATCHES_PER_REPORT):
        indices = order[start : start + batch * _BATCHES_PER_REPORT]
        chosen = [positions[index] for index in indices]
        found = scorer.scores(chosen, patches_of(fill, chosen, size), batch)
        scores = found.new_empty(len(order), *found.shape[1:]) if scores is None else scores
        scores[torch.tensor(indices, device=found.device)] = found
        if on_progress:
            on_progress(start + len(chosen), len(order))
    assert scores is not None
    return scores


def _scorer(
    graph_module: fx.GraphModule,
    image: Tensor,
    size: tuple[int, int],
    positions: Sequence[Position],
    engine: Engine,
    window_cap: float,
) -> IncrementalEngine | FullPass:
    if engine == "full":
        return FullPass(graph_module, image)
    try:
        return IncrementalEngine(graph_module, image, size, positions, window_cap)
    except NotIncremental:
        if engine == "incremental":
            raise
        return FullPass(graph_module, image)


def patches_of(fill: Tensor, positions: Sequence[Position], size: tuple[int, int]) -> Tensor:
    """The pixels (P, C, height, width) of ``fill`` (C, H, W) under each patch; outside it, its border's."""
    tops, lefts = torch.tensor(positions, device=fill.device).unbind(1)
    rows, cols = (torch.arange(extent, device=fill.device) for extent in size)
    rows = (tops[:, None] + rows).clamp(0, fill.shape[1] - 1)
    cols = (lefts[:, None] + cols).clamp(0, fill.shape[2] - 1)
    return fill[:, rows[:, :, None], cols[:, None, :]].transpose(0, 1)
