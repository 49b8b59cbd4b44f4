"""Class activation maps of one or several layers, computed by a rule that weights a layer's feature maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from cnnviz.attribution.principal import principal_map
from cnnviz.attribution.targets import ResolvedOnce, Target, resolved_targets, target_scores, targets_of
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import gradients, require_pixels, warn_if_out_of_range
from cnnviz.network import checks
from cnnviz.network.default_layers import last_spatial_layer
from cnnviz.network.feature_network import LayerLike
from cnnviz.network.network import Network
from cnnviz.runtime.precision import at_least_float32, gradients_of

Smooth = Literal["none", "flips", "eigen"]
Layers = LayerLike | Sequence[LayerLike] | None
"""One layer or several; None for the last map before the classifier."""

ScoreFunction = Callable[[Network, Tensor, Target | ResolvedOnce], Tensor]
"""Network, logits (N, classes) and target -> the score (N,) whose gradient is taken."""

_CONTRASTS = (0.9, 1.0, 1.1)
"""With ``smooth="flips"`` the input, and its mirror image, is multiplied by each of these; the maps are averaged."""


@dataclass(frozen=True)
class LayerState:
    """A layer in a pass of some images through the network.

    Attributes:
        network: the network.
        x: (N, C, H, W), its normalized input.
        targets: what is explained.
        layer: the layer's name.
        maps: (N, K, h, w), its output.
        gradient: of the scores with respect to ``maps``; zero for rules that ask for none.
        curvature: the scores' second derivative times ``maps``; zero for rules that ask for none.
    """

    network: Network
    x: Tensor
    targets: Target | ResolvedOnce
    layer: str
    maps: Tensor
    gradient: Tensor
    curvature: Tensor


@dataclass(frozen=True)
class CamRule:
    """A class activation method.

    Attributes:
        weigh: the weighted maps (N, K, h, w) of a layer, whose sum over channels is the class activation map.
        derivatives: how many derivatives of the score it reads: 0, 1 or 2.
        score: what is derived.
        is_projected: whether the first principal component of the weighted maps takes the place of their sum.
    """

    weigh: Callable[[LayerState], Tensor]
    derivatives: int = 1
    score: ScoreFunction = target_scores
    is_projected: bool = False


def class_activation_map(
    network: Network, pixels: Tensor, target: Target, rule: CamRule, layer: Layers, smooth: Smooth
) -> Tensor:
    """The maps (N, 1, H, W) by a rule: of one layer as they are, of several the mean after each one's own min-max.

    Negative values are cut off at the layer's size, and maps upsampled bilinearly. ``smooth`` is explained by
    ``grad_cam``.
    """
    names = layer_names(network, pixels, layer)

    def fused(maps: Sequence[Tensor], size: torch.Size) -> Tensor:
        if len(maps) == 1:
            return upsampled(maps[0], size)
        return torch.stack([upsampled(min_max(each), size) for each in maps]).mean(0)

    return fused_map(network, pixels, target, rule, names, smooth, fused)


def fused_map(
    network: Network,
    pixels: Tensor,
    target: Target | ResolvedOnce,
    rule: CamRule,
    names: Sequence[str],
    smooth: Smooth,
    fuse: Callable[[Sequence[Tensor], torch.Size], Tensor],
) -> Tensor:
    """The maps (N, 1, H, W) by a rule, of layers by name, fused by ``fuse`` from each layer's maps (N, 1, h, w)."""
    if smooth not in get_args(Smooth):
        raise UsageError(f"There is no smoothing '{smooth}'; the choices are {', '.join(get_args(Smooth))}.")
    network.require_count(len(pixels))
    for name in names:
        network.layers.require_map(name)
    pixels = require_pixels(pixels, network.spec.channels)
    warn_if_out_of_range(pixels)
    if smooth == "flips":
        target = resolved_targets(network, pixels, target)
    elif not rule.derivatives:
        target = ResolvedOnce.of(target)
    found = []
    for is_mirrored, factor in product((False, True), _CONTRASTS) if smooth == "flips" else ((False, 1.0),):
        states = _states(network, pixels, target, rule, names, is_mirrored, factor)
        one = fuse([_layer_map(rule, state, smooth == "eigen") for state in states], pixels.shape[2:])
        found.append(one.flip(-1) if is_mirrored else one)
    return found[0] if len(found) == 1 else torch.stack([min_max(one) for one in found]).mean(0)


def layer_names(network: Network, pixels: Tensor, layer: Layers) -> list[str]:
    """The names of one or several layers, each once; the last map's if there is none."""
    if layer is None:
        return [last_spatial_layer(network, pixels)]
    several = [layer] if isinstance(layer, str | torch.nn.Module) else list(layer)
    if not several:
        raise UsageError("Name at least one layer.", remedy="list_layers")
    return list(dict.fromkeys(network.layer_name(each) for each in several))


def _states(
    network: Network,
    pixels: Tensor,
    target: Target | ResolvedOnce,
    rule: CamRule,
    names: Sequence[str],
    is_mirrored: bool,
    factor: float,
) -> Iterator[LayerState]:
    """Each layer's state in one pass through the network; autograd begins at the first of them where it can."""
    is_derived = rule.derivatives > 0
    needs_logits = is_derived or isinstance(target, ResolvedOnce)
    with gradients(), network.autocast(), _attention(rule.derivatives):
        pixels = pixels.to(network.device)
        x = network.normalize(pixels.flip(-1) if is_mirrored else pixels)
        x = x if factor == 1 else x * factor
        is_cut = network.traced_by != "hooks"
        x = x.detach().requires_grad_() if is_derived and not is_cut else x
        wanted: dict[str, str | None] = {name: name for name in names}
        whole = {**wanted, "": None} if needs_logits else wanted
        read = network.truncated(whole, fused=True, leaves=is_derived and is_cut)(x)
        zeros = [torch.zeros((), device=network.device)] * len(names)
        first: Sequence[Tensor] = zeros
        second: Sequence[Tensor] = zeros
        logits = network.check_logits(read[""], pixels) if needs_logits else None
        if logits is not None and is_derived:
            score = rule.score(network, logits, target).sum()
            first, second = _derivatives(score, [read[name] for name in names], rule.derivatives, zeros)
        elif logits is not None:
            target = targets_of(network, logits, target)
    for name, found, curvature in zip(names, first, second, strict=True):
        maps = at_least_float32(read[name].detach())
        gradient = checks.require_finite(found.detach().to(maps), f"gradient at layer '{name}'", network, pixels)
        yield LayerState(network, x.detach(), target, name, maps, gradient, curvature.detach().to(maps))


@contextmanager
def _attention(derivatives: int) -> Iterator[None]:
    """Context in which attention has ``derivatives`` derivatives: PyTorch's fused kernels have only the first."""
    if derivatives < 2:
        yield
        return
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH):
        yield


def _derivatives(
    score: Tensor, maps: Sequence[Tensor], count: int, zeros: Sequence[Tensor]
) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """The gradients of a score by ``maps``, and its second derivatives times the maps (``zeros`` if ``count`` is 1)."""
    if count == 1:
        return gradients_of(score, maps), zeros
    first = gradients_of(score, maps, create_graph=True)
    second = [_times_second(*each) for each in zip(first, maps, zeros, strict=True)]
    return first, second


def _times_second(gradient: Tensor, maps: Tensor, zero: Tensor) -> Tensor:
    """The derivative of ``gradient`` in the direction of ``maps``; zero where it does not depend on them."""
    if not gradient.requires_grad:
        return zero
    (found,) = gradients_of(
        gradient, maps, grad_outputs=maps.detach().to(gradient), retain_graph=True, allow_unused=True
    )
    return zero if found is None else found


def _layer_map(rule: CamRule, state: LayerState, is_smoothed: bool) -> Tensor:
    """The map (N, 1, h, w) of a layer, without negative values."""
    weighted = rule.weigh(state)
    found = principal_map(weighted) if rule.is_projected or is_smoothed else weighted.sum(1, keepdim=True)
    return found.relu()


def upsampled(maps: Tensor, size: torch.Size) -> Tensor:
    """Maps (N, 1, h, w) at a ``size`` (H, W), bilinearly."""
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def min_max(maps: Tensor) -> Tensor:
    """Maps (N, 1, H, W), each scaled to [0, 1]; one that is the same everywhere becomes zero."""
    low, high = maps.amin((1, 2, 3), keepdim=True), maps.amax((1, 2, 3), keepdim=True)
    return torch.where(high > low, (maps - low) / (high - low).clamp_min(torch.finfo(maps.dtype).tiny), 0.0)
