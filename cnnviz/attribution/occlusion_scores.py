"""Logits of an image at every patch position, by the incremental engine or by full passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, fx

from cnnviz.attribution.full_pass import FullPass, Run
from cnnviz.attribution.incremental.engine import IncrementalEngine
from cnnviz.attribution.incremental.errors import NotIncremental
from cnnviz.attribution.incremental.windows import Position
from cnnviz.attribution.settings import Algorithm
from cnnviz.runtime.progress import OnStep, Step

_BATCHES_PER_STEP = 4
"""Batches between two calls of ``on_step``; their feature vectors go through the classifier together."""


@torch.no_grad()
def score_positions(
    run: Run,
    image: Tensor,
    positions: Sequence[Position],
    patch: int | tuple[int, int],
    fill_pixels: Tensor,
    *,
    batch: int | None = None,
    on_step: OnStep | None = None,
    algorithm: Algorithm = "auto",
) -> Tensor:
    """Logits (P, classes) of ``image`` with one patch replaced, for each of P positions.

    Args:
        run: (N, C, H, W) -> logits (N, classes): a torch.fx graph in evaluation mode, without gradients and in-place
            operations, as ``cnnviz.network.graph.trace`` returns it; or any function, always run in full.
        image: (1, C, H, W), normalized as ``run`` expects it.
        positions: (top, left) of each patch in pixels, at least one. A patch may extend past the border; what lies
            outside the image is ignored.
        patch: side, or height and width, of the patches in pixels.
        fill_pixels: what replaces the hidden pixels, broadcastable to (1, C, H, W): a color (1, C, 1, 1), a blurred
            copy, noise.
        batch: number of positions computed at a time; chosen so that the working set stays small if None.
        on_step: called with a ``Step`` as positions are done.
        algorithm: ``incremental`` recomputes only what a patch changes, exactly up to rounding (raises NotIncremental
            for graphs it does not support); ``full`` runs the whole network each time; ``auto`` takes the first of
            them that supports the graph.

    Returns:
        Logits (P, classes), in the order of ``positions``.
    """
    size = (patch, patch) if isinstance(patch, int) else patch
    fill = fill_pixels.expand_as(image)[0]

    def patches(indices: Sequence[int]) -> Tensor:
        return patches_of(fill, [positions[index] for index in indices], size)

    return score_patches(run, image, positions, size, patches, batch=batch, on_step=on_step, algorithm=algorithm)


@torch.no_grad()
def score_patches(
    run: Run,
    image: Tensor,
    positions: Sequence[Position],
    size: tuple[int, int],
    patches: Callable[[Sequence[int]], Tensor],
    *,
    batch: int | None = None,
    on_step: OnStep | None = None,
    algorithm: Algorithm = "auto",
) -> Tensor:
    """Logits (P, classes) of ``image`` with a patch of any pixels at each of P positions.

    ``patches`` makes the pixels (K, C, height, width) of the patches at K positions, which it gets by their indices;
    ``size`` is their height and width. Other arguments are those of ``score_positions``.
    """
    scorer = _scorer(run, image, size, positions, algorithm)
    batch = batch or scorer.batch_size()
    order = list(scorer.order(positions))
    scores = None
    for start in range(0, len(order), batch * _BATCHES_PER_STEP):
        indices = order[start : start + batch * _BATCHES_PER_STEP]
        found = scorer.scores([positions[index] for index in indices], patches(indices), batch)
        scores = found.new_empty(len(order), *found.shape[1:]) if scores is None else scores
        scores[torch.tensor(indices, device=found.device)] = found
        if on_step:
            on_step(Step(start + len(indices), len(order)))
    assert scores is not None
    return scores


def _scorer(
    run: Run,
    image: Tensor,
    size: tuple[int, int],
    positions: Sequence[Position],
    algorithm: Algorithm,
) -> IncrementalEngine | FullPass:
    if algorithm == "full":
        return FullPass(run, image)
    try:
        if not isinstance(run, fx.GraphModule):
            raise NotIncremental("there is no graph of the forward pass")
        return IncrementalEngine(run, image, size, positions)
    except NotIncremental:
        if algorithm == "incremental":
            raise
        return FullPass(run, image)


def patches_of(fill: Tensor, positions: Sequence[Position], size: tuple[int, int]) -> Tensor:
    """The pixels (P, C, height, width) of ``fill`` (C, H, W) at each patch; border pixels are repeated outwards."""
    tops, lefts = torch.tensor(positions, device=fill.device).unbind(1)
    rows, cols = (torch.arange(extent, device=fill.device) for extent in size)
    rows = (tops[:, None] + rows).clamp(0, fill.shape[1] - 1)
    cols = (lefts[:, None] + cols).clamp(0, fill.shape[2] - 1)
    return fill[:, rows[:, :, None], cols[:, None, :]].transpose(0, 1)
