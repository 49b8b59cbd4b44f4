"""Variants of a network, for optimizing images or for speed; they share its parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from cnnviz.network.network import Network
from cnnviz.network.running_module import Alteration


def with_average_pooling(network: Network, rescaled: bool = False) -> Network:
    """The network with average pooling in place of every max-pooling module, for smoother gradients of the image.

    Gatys, Ecker & Bethge, arXiv:1505.07376, found textures cleaner this way. The network's features are no longer those
    of the original. Functional pooling (Inception v3) stays as it is.

    Args:
        network: any network; it is not changed.
        rescaled: multiply averages by about 2 (windows of 2×2) or 3 (3×3), the usual ratio of maximum to average, so
            that deeper layers get inputs of the usual magnitude. The factor is the mean maximum of n exponentially
            distributed values of mean 1, ``1 + 1/2 + … + 1/n``, rounded so that n over the factor is a whole number.
            Crowson's style-transfer-pytorch uses 2.
    """

    def average(module: nn.Module) -> None:
        for parent in list(module.modules()):
            for name, child in parent.named_children():
                if isinstance(child, nn.MaxPool2d) and not child.return_indices:
                    setattr(parent, name, _average(child, rescaled))

    return altered(network, average)


def altered(network: Network, alteration: Alteration) -> Network:
    """The network with one more change to the copy of the module that runs; changes of the module still apply."""
    return replace(network, alterations=(*network.alterations, alteration))


def has_max_pooling(network: Network) -> bool:
    """Whether there are max-pooling modules, which ``with_average_pooling`` would replace."""
    return any(isinstance(layer, nn.MaxPool2d) for layer in network.module.modules())


def with_recomputed_pooling(network: Network) -> Network:
    """The network with max pooling that stores no indices for the backward pass, but computes them again there.

    Indices are 64-bit numbers, a quarter of the memory of a VGG's pass in bfloat16. Values and gradients are the same.
    """

    def recompute(module: nn.Module) -> None:
        for layer in module.modules():
            if type(layer) is nn.MaxPool2d and not layer.return_indices:
                layer.__class__ = _RecomputedMaxPool2d

    return altered(network, recompute)


class _RecomputedMaxPool2d(nn.MaxPool2d):
    """``nn.MaxPool2d`` that pools its input once more for the gradient."""

    def forward(self, input: Tensor) -> Tensor:
        return _RecomputedMax.apply(input, super().forward) if input.requires_grad else super().forward(input)


class _RecomputedMax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, pool: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(maps)
        ctx.pool = pool
        return pool(maps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        maps, is_derived_again = ctx.saved_tensors[0].detach().requires_grad_(), torch.is_grad_enabled()
        with torch.enable_grad():
            return torch.autograd.grad(ctx.pool(maps), maps, gradient, create_graph=is_derived_again)[0], None


def in_channels_last(network: Network) -> Network:
    """The network itself, with its convolutions' weights in channels-last memory format, if it may be optimized."""
    if network.optimize:
        network.body.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


class LowPrecisionNetwork(Network):
    """A network with weights in the type that its convolutions are computed in; pixels stay in float32."""

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32


def with_weights_cast(network: Network, layers: Sequence[str]) -> Network:
    """The network with the weights that ``layers`` need cast once, not by autocast in each pass.

    That saves 5 % of the time of an optimization step with VGG-19. Results are the same to the last bit; those weights
    are in memory twice. A network that computes in float32 is returned as it is.
    """
    if network.precision == "fp32":
        return network
    nodes = network.truncated({name: name for name in layers}).graph.nodes
    needed = {str(node.target) for node in nodes if node.op == "call_module"}
    lower = torch.bfloat16 if network.precision == "bf16" else torch.float16

    def cast(module: nn.Module) -> None:
        for path, layer in module.named_modules():
            if path in needed and isinstance(layer, nn.Conv2d):
                for name, value in list(layer.named_parameters(recurse=False)):
                    setattr(layer, name, nn.Parameter(value.to(lower), requires_grad=False))

    settings = {each.name: getattr(network, each.name) for each in fields(network)}
    return LowPrecisionNetwork(**settings | {"alterations": (*network.alterations, cast)})


def in_full_precision(network: Network) -> Network:
    """The network if it computes in float32, otherwise one that does, for scores and predictions."""
    return network if network.precision == "fp32" else replace(network, precision="fp32")


def _average(pool: nn.MaxPool2d, rescaled: bool) -> nn.AvgPool2d:
    window = pool.kernel_size if isinstance(pool.kernel_size, tuple) else (pool.kernel_size, pool.kernel_size)
    count = window[0] * window[1]
    divisor = max(1, round(count / sum(1 / n for n in range(1, count + 1)))) if rescaled else None
    return nn.AvgPool2d(
        pool.kernel_size,
        pool.stride,
        pool.padding,
        ceil_mode=pool.ceil_mode,
        count_include_pad=False,
        divisor_override=divisor,
    )
