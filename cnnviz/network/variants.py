"""The same network, altered for making pictures or judging them: shares every parameter with the original."""

from __future__ import annotations

import copy
from dataclasses import fields, replace
from itertools import chain

import torch
from torch import nn

from cnnviz.network.network import Network


def with_average_pooling(network: Network, rescaled: bool = False) -> Network:
    """The network with every max-pooling module averaging instead, which gives the image smoother gradients.

    ``rescaled``: averages times some 2 (windows of 2×2) or 3 (3×3), about what maxima are above averages, so that
    deeper layers see the magnitudes they are used to. The factor is the mean maximum of n exponentially distributed
    values of mean 1, ``1 + 1/2 + … + 1/n``, such that n over the factor is a whole number; Crowson's
    style-transfer-pytorch has 2.

    Gatys, Ecker & Bethge, arXiv:1505.07376, found textures cleaner this way. What such a network sees is no longer
    what the original sees: say so where the result is shown. Functional pooling (Inception v3) is left as it is.
    """
    module = _share(network.module)
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.MaxPool2d):
                setattr(parent, name, _average(child, rescaled))
    return replace(network, module=module)


def in_channels_last(network: Network) -> Network:
    """The network itself, its convolutions' weights laid out for pictures in channels_last; no value changes."""
    network.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


class LowWeights(Network):
    """A network whose convolutions' weights are kept in the type they compute in; pixels stay in float32."""

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32


def with_weights_cast(network: Network) -> Network:
    """The network for many passes: autocast would cast its weights anew in each, a twentieth of a step of VGG-19.

    The network itself where it computes in float32. What it computes is the same to the last bit.
    """
    if network.precision == "fp32":
        return network
    lower = torch.bfloat16 if network.precision == "bf16" else torch.float16
    module = _share(network.module)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            for name, value in list(layer.named_parameters(recurse=False)):
                setattr(layer, name, nn.Parameter(value.to(lower), requires_grad=False))
    return LowWeights(**{each.name: getattr(network, each.name) for each in fields(network)} | {"module": module})


def in_full_precision(network: Network) -> Network:
    """The network itself if it computes in float32, otherwise one that does, for what is stated of a picture."""
    return network if network.precision == "fp32" else replace(network, precision="fp32")


def _share(module: nn.Module) -> nn.Module:
    """A copy of the module tree around the very same tensors."""
    tensors = chain(module.parameters(), module.buffers())
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


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
