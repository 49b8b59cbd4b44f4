"""Global average pooling whose gradient is expanded instead of written out.

PyTorch writes the gradient out with the channels apart, while maps are stored channels last. The ReLU before the
pooling, after a convolution to 1000 classes, then reads two tensors of different memory order: 5 % of the time of
SqueezeNet.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AdaptiveAvgPool2d(nn.AdaptiveAvgPool2d):
    """``nn.AdaptiveAvgPool2d`` to a single cell, the same to the last bit.

    It has its parent's name, which users see in lists of layers.
    """

    def forward(self, input: Tensor) -> Tensor:
        if type(input) is Tensor and input.ndim == 4 and input.requires_grad:
            return _GlobalMean.apply(input)
        return super().forward(input)


def use_fast_pooling(module: nn.Module) -> None:
    """Replace every global average pooling inside ``module`` by the one of this file, in place."""
    for child in module.modules():
        if type(child) is nn.AdaptiveAvgPool2d and child.output_size in (1, (1, 1), [1, 1]):
            child.__class__ = AdaptiveAvgPool2d


class _GlobalMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        ctx.size = maps.shape[2:]
        return F.adaptive_avg_pool2d(maps, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        height, width = ctx.size
        return (gradient / (height * width)).expand(-1, -1, height, width)
