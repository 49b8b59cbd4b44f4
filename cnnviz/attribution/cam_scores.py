"""Rules of class activation methods without gradients: weights by scores of masked images, or without a channel."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from cnnviz.attribution.cam_layers import CamRule, LayerState
from cnnviz.attribution.targets import Contrast, TargetFunction, target_scores
from cnnviz.errors import UsageError
from cnnviz.network.graph_rewrites import edit_node, resume_from
from cnnviz.network.network import Network
from cnnviz.runtime.memory import in_batches_that_fit, max_batch_size, small_batch_size

Run = Callable[[slice], Tensor]
"""A function from a slice of the numbered variants of an image to their logits (P, classes)."""


def _weighted(state: LayerState, weights: Callable[[LayerState, int, int | TargetFunction], Tensor]) -> Tensor:
    """A layer's maps times the ``weights`` (K,) of each image and target."""
    assert isinstance(state.targets, list)
    rows = [weights(state, place, target) for place, target in enumerate(state.targets)]
    return torch.stack(rows).to(state.maps)[:, :, None, None] * state.maps


_ABLATIONS = 32
"""How many copies of a layer's maps, each without one channel, go through the rest of a network at a time."""


def _scores(state: LayerState, target: int | TargetFunction, count: int, run: Run, batch: int) -> Tensor:
    """The target's scores (P,) of ``count`` variants of an image, ``batch`` at a time."""
    network = state.network

    def scores(part: slice) -> Tensor:
        with torch.no_grad(), network.autocast():
            logits = run(part)
            logits = network.check_logits(logits, logits)
        return target_scores(network, logits, [target] * len(logits))

    return torch.cat(list(in_batches_that_fit(scores, count, batch)))


def _batch_size(network: Network, height: int, width: int) -> int:
    """How many images of a size suit the network at a time."""
    if network.images_at_once is not None:
        return network.images_at_once
    if network.device.type == "cpu":
        return small_batch_size(network, max(height, width))
    return max_batch_size((height, width), network.spec.size, network.device)


def _by_masked_images(state: LayerState, place: int, target: int | TargetFunction) -> Tensor:
    """Score-CAM's weights (K,): the softmax over channels of the score of the image that each channel's map masks."""
    maps, x = state.maps[place], state.x[place : place + 1]
    if isinstance(target, Contrast) and target.index == target.other:
        return maps.new_zeros(len(maps))
    low, high = maps.amin((1, 2)), maps.amax((1, 2))
    is_flat = high <= low
    live = (~is_flat).nonzero()[:, 0]
    run = state.network.truncated({"": None}, fused=True)

    def masked(part: slice) -> Tensor:
        chosen = torch.cat([live, live.new_full((1,), -1)])[part]  # the last one is the image behind an empty mask
        masks = F.interpolate(
            maps[chosen][:, None],
            size=x.shape[2:],
            mode="bilinear",
            align_corners=True,  # as in the paper's code
        )
        bottom, top = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
        masks = (masks - bottom) / (top - bottom).clamp_min(1e-8)
        logits: Tensor = run(torch.where((chosen < 0)[:, None, None, None], 0.0, x * masks.to(x)))[""]
        return logits

    found = _scores(state, target, len(live) + 1, masked, _batch_size(state.network, *x.shape[2:]))
    scores = found[-1].expand(len(maps)).clone()
    scores[live] = found[:-1]
    return scores.softmax(0)


def _by_ablation(state: LayerState, place: int, target: int | TargetFunction) -> Tensor:
    """Ablation-CAM's weights (K,): by how much the score drops where each channel is zero."""
    maps, network = state.maps[place : place + 1], state.network
    count = maps.shape[1]
    after, is_rest = _rest(state, place)
    batch = _ABLATIONS if is_rest else _batch_size(network, *state.x.shape[2:])
    with torch.no_grad(), network.autocast():
        logits = network.check_logits(after(1, lambda found: found), maps)

    def without(part: slice) -> Tensor:
        kept = 1 - torch.eye(count, device=maps.device)[part]
        return after(len(kept), lambda found: found * kept[:, :, None, None].to(found))

    (whole,) = target_scores(network, logits, [target])
    return whole - _scores(state, target, count, without, batch)


Edit = Callable[[Tensor], Tensor]
"""A function that changes a layer's maps (N, K, h, w)."""


def _rest(state: LayerState, place: int) -> tuple[Callable[[int, Edit], Tensor], bool]:
    """A function that computes the logits of copies of one image with the layer's maps changed.

    The network goes on from the layer where nothing goes around it, which is the second value, and runs as a whole
    where something does.
    """
    network, x, maps = state.network, state.x[place : place + 1], state.maps[place : place + 1]
    if network.traced_by == "hooks":
        raise UsageError(
            f"Ablation-CAM changes a layer's maps, and the forward pass of {network.name} cannot be traced."
        )
    node = network.layers.node(state.layer)
    views = network.layers.views([node])
    rest = resume_from(network.graph, node, views)
    if rest is not None:
        return lambda count, edit: rest(edit(maps.expand(count, -1, -1, -1))), True
    edited = edit_node(network.graph, node, views)
    return lambda count, edit: edited(x.expand(count, -1, -1, -1), edit), False


SCORE_CAM = CamRule(lambda state: _weighted(state, _by_masked_images), derivatives=0)
ABLATION_CAM = CamRule(lambda state: _weighted(state, _by_ablation), derivatives=0)
