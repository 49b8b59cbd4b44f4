"""Global average pooling whose gradient takes no memory: a channel's slope is the same wherever one looks.

PyTorch writes it out, and with the channels apart, while maps lie channels last. What comes before it, as a ReLU after
a convolution to 1000 classes, then reads two tensors that lie crosswise: a twentieth of SqueezeNet's time.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AdaptiveAvgPool2d(nn.AdaptiveAvgPool2d):
    """``nn.AdaptiveAvgPool2d`` to a single cell, the same to the last bit.

    Called as its parent is, for users meet the name in lists of layers.
    """

    def forward(self, input: Tensor) -> Tensor:
        if type(input) is Tensor and input.ndim == 4 and input.requires_grad:
            return _Mean.apply(input)
        return super().forward(input)


def slim_averages(module: nn.Module) -> None:
    """Make every global average pooling inside ``module`` the one of this file, in place."""
    for child in module.modules():
        if type(child) is nn.AdaptiveAvgPool2d and child.output_size in (1, (1, 1), [1, 1]):
            child.__class__ = AdaptiveAvgPool2d


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        ctx.size = maps.shape[2:]
        return F.adaptive_avg_pool2d(maps, 1)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:  # type: ignore[override]
        height, width = ctx.size
        return (slope / (height * width)).expand(-1, -1, height, width)
