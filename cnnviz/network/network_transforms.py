"""The same network, altered for making pictures or judging them: shares every parameter with the original."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from cnnviz.network.network import Alteration, Network


def with_average_pooling(network: Network, rescaled: bool = False) -> Network:
    """The network with every max-pooling module averaging instead, which gives the image smoother gradients.

    ``rescaled``: averages times some 2 (windows of 2×2) or 3 (3×3), about what maxima are above averages, so that
    deeper layers see the magnitudes they are used to. The factor is the mean maximum of n exponentially distributed
    values of mean 1, ``1 + 1/2 + … + 1/n``, such that n over the factor is a whole number; Crowson's
    style-transfer-pytorch has 2.

    Gatys, Ecker & Bethge, arXiv:1505.07376, found textures cleaner this way. What such a network sees is no longer
    what the original sees: say so where the result is shown. Functional pooling (Inception v3) is left as it is.
    """

    def average(module: nn.Module) -> None:
        for parent in list(module.modules()):
            for name, child in parent.named_children():
                if isinstance(child, nn.MaxPool2d) and not child.return_indices:
                    setattr(parent, name, _average(child, rescaled))

    return altered(network, average)


def altered(network: Network, alteration: Alteration) -> Network:
    """The network with one more change to the copy of the module that runs; it follows the module as the first does."""
    return replace(network, alterations=(*network.alterations, alteration))


def has_max_pooling(network: Network) -> bool:
    """Whether there are max-pooling modules, which ``with_average_pooling`` would alter."""
    return any(isinstance(layer, nn.MaxPool2d) for layer in network.module.modules())


def with_recomputed_pooling(network: Network) -> Network:
    """The network for many passes forward and back: its max pooling keeps no indices.

    They are 64-bit numbers, in a VGG in bfloat16 a quarter of all that is kept; they are found again going back, one
    layer's at a time. What is computed is the same.
    """

    def recompute(module: nn.Module) -> None:
        for layer in module.modules():
            if type(layer) is nn.MaxPool2d and not layer.return_indices:
                layer.__class__ = _LeanMaxPool2d

    return altered(network, recompute)


class _LeanMaxPool2d(nn.MaxPool2d):
    """``nn.MaxPool2d`` that goes over its input once more for the gradient."""

    def forward(self, input: Tensor) -> Tensor:
        return _LeanMax.apply(input, super().forward) if input.requires_grad else super().forward(input)


class _LeanMax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, pool: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(maps)
        ctx.pool = pool
        return pool(maps)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        maps = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(ctx.pool(maps), maps, slope)[0], None


def in_channels_last(network: Network) -> Network:
    """The network itself, its convolutions' weights laid out for pictures in channels_last; no value changes.

    Those of a module of your own stay as they are.
    """
    if network.optimize:
        network.body.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


class LowPrecisionNetwork(Network):
    """A network whose convolutions' weights are kept in the type they compute in; pixels stay in float32."""

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32


def with_weights_cast(network: Network, layers: Sequence[str]) -> Network:
    """The network for many passes up to ``layers``: autocast would cast its weights anew in each, a twentieth of a
    step of VGG-19.

    The network itself where it computes in float32. What it computes is the same to the last bit; only the weights
    that ``layers`` need are held twice.
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
    """The network itself if it computes in float32, otherwise one that does, for what is stated of a picture."""
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
