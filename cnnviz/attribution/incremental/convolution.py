"""Convolutions prepared for many forward passes: batch normalization folded in, no slow path for small batches.

The prepared graph shares its parameters with the original.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from cnnviz.network.fast.conv import Conv2d, convolve
from cnnviz.network.fast.winograd import winograd_conv2d
from cnnviz.network.module_copy import has_hooks
from cnnviz.network.operations import is_plain_conv

Convolution = Callable[[Tensor, Tensor, Tensor | None], Tensor]

_FAST_BATCH = 16
"""Below this batch size PyTorch runs 1×1 convolutions in a slower library if it has one CPU thread."""

_WEIGHTS_AT_ONCE = 9 << 18
"""Bytes of weights in one call. On a CPU each call reorders them, into a second block of this size."""

_CHANNELS_AT_ONCE = 64
"""A multiple of every CPU's vector width, in channels."""


class PreparedConv2d(nn.Module):
    """A convolution and the batch normalization after it (if any, in evaluation mode) as one operation.

    y = γ (Wx + b − μ) / √(σ² + ε) + β is a convolution with scaled weights, or one whose output is scaled: at run
    time the smaller of the two is scaled. Keeping scaled weights would take more memory than the feature maps.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None) -> None:
        super().__init__()
        self.conv = conv
        self.scale: Tensor | None
        self.shift: Tensor | None
        self.scale, self.shift = (None, conv.bias) if norm is None else _scale_and_shift(conv, norm)
        plain = conv.stride == (1, 1) and conv.padding in ((0, 0), "valid", "same") and conv.groups == 1
        self._is_pointwise = plain and conv.kernel_size == (1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of ``x`` (N, C, H, W), normalized."""
        found = self._by_winograd(x, self.conv.padding)
        return self._directly(x, functools.partial(convolve, self.conv)) if found is None else found

    def on_windows(self, crop: Tensor, convolution: Convolution) -> Tensor:
        """The convolution of windows (N, C, H, W), padded already, by ``convolution`` (input, weights, bias)."""
        found = self._by_winograd(crop, (0, 0))
        return self._directly(crop, convolution) if found is None else found

    def _by_winograd(self, x: Tensor, padding: Sequence[int] | str) -> Tensor | None:
        """The result in fewer multiplications; None where the convolution or the size of ``x`` is not for it."""
        conv = self.conv
        if not isinstance(conv, Conv2d) or isinstance(padding, str) or torch.is_grad_enabled():
            return None
        size = x.shape[2] + 2 * padding[0] - 2, x.shape[3] + 2 * padding[1] - 2
        if not conv.takes_winograd_on_windows(x, size):
            return None
        return winograd_conv2d(x, conv.winograd_matrices, self.shift, padding, self.scale)

    def _directly(self, x: Tensor, convolution: Convolution) -> Tensor:
        weight = self.conv.weight
        if self._is_pointwise and x.device.type == "cpu" and len(x) < _FAST_BATCH:
            convolution = _by_rows
        each = max(_CHANNELS_AT_ONCE, _WEIGHTS_AT_ONCE // weight[0].nbytes // _CHANNELS_AT_ONCE * _CHANNELS_AT_ONCE)
        if x.device.type != "cpu" or self.conv.groups > 1 or len(weight) <= each:
            return self._channels(x, slice(None), convolution)
        first = self._channels(x, slice(each), convolution)
        shape = (len(first), len(weight), *first.shape[2:])
        result = torch.empty(shape, dtype=first.dtype, memory_format=torch.channels_last)
        result[:, :each] = first
        for start in range(each, len(weight), each):
            channels = slice(start, start + each)
            result[:, channels] = self._channels(x, channels, convolution)
        return result

    def _channels(self, x: Tensor, channels: slice, convolution: Convolution) -> Tensor:
        """The output's ``channels`` alone."""
        weight = self.conv.weight[channels]
        scale, shift = (None if values is None else values[channels] for values in (self.scale, self.shift))
        if scale is None:
            return convolution(x, weight, shift)
        cells = x.numel() // x.shape[1] // math.prod(self.conv.stride)
        if cells > weight[0].numel():
            return convolution(x, weight * scale[:, None, None, None], shift)
        assert shift is not None
        result = convolution(x, weight, None)
        return torch.addcmul(shift.view(1, -1, 1, 1), result, scale.view(1, -1, 1, 1), out=result)


def _scale_and_shift(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Factor and summand (C,) by which the normalization changes the convolution without bias."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = (norm.running_var + norm.eps).rsqrt() * (1 if norm.weight is None else norm.weight)
    shift = (-norm.running_mean if conv.bias is None else conv.bias - norm.running_mean) * scale
    return scale, shift if norm.bias is None else shift + norm.bias


def _by_rows(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A 1×1 convolution of ``x`` (N, C, H, W) (channels last), computed as a batch of N·H one-row images."""
    count, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(count * height, 1, width, channels).permute(0, 3, 1, 2)
    result = F.conv2d(rows, weight, bias)
    return result.permute(0, 2, 3, 1).reshape(count, height, width, -1).permute(0, 3, 1, 2)


@torch.no_grad()
def prepare_convolutions(graph_module: fx.GraphModule) -> fx.GraphModule:
    """A copy of the graph in which each convolution, with the batch normalization after it, is a PreparedConv2d.

    The original is unchanged. A normalization stays separate where other nodes read the convolution's output too.
    """
    prepared = fx.GraphModule(graph_module, copy.deepcopy(graph_module.graph))
    for node in list(prepared.graph.nodes):
        conv = prepared.get_submodule(str(node.target)) if node.op == "call_module" else None
        if conv is None or not is_plain_conv(conv) or has_hooks(conv):
            continue
        if any(str(each.target).startswith(f"{node.target}.") for each in prepared.graph.find_nodes(op="get_attr")):
            continue  # its weights are also read directly
        after = next(iter(node.users), None) if _called_once(prepared, node.target) else None
        norm = _norm(prepared, after) if after and len(node.users) == 1 else None
        prepared.set_submodule(str(node.target), PreparedConv2d(conv, norm))
        if after and norm:
            after.replace_all_uses_with(node)
            prepared.graph.erase_node(after)
    prepared.graph.eliminate_dead_code()
    prepared.recompile()
    return prepared


def _norm(graph_module: fx.GraphModule, node: fx.Node) -> nn.BatchNorm2d | None:
    """The batch normalization in evaluation mode that the node calls; None for other nodes."""
    norm = graph_module.get_submodule(str(node.target)) if node.op == "call_module" else None
    if type(norm) is not nn.BatchNorm2d or norm.training or norm.running_var is None or has_hooks(norm):
        return None
    return norm


def _called_once(graph_module: fx.GraphModule, target: object) -> bool:
    return sum(node.op == "call_module" and node.target == target for node in graph_module.graph.nodes) == 1
