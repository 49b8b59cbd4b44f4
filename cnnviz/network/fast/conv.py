"""Convolutions with fixed weights that compute the gradient of their input faster on a CPU.

PyTorch computes a float32 convolution with oneDNN or with an older library of its own. With one thread, or one small
image, it takes the older one, which is up to three times slower and makes the last bits of a result depend on the
batch size. With weights that need no gradient, the choice is made here.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnviz.network.fast.conv_weights import WeightCache, flip_transpose, pixel_shuffle, sub_pixel_weights
from cnnviz.network.fast.winograd import TILE, transform_weights, winograd_conv2d, winograd_gradient
from cnnviz.runtime.private_torch import has_onednn, onednn_conv2d

_MIN_WORK = 1 << 20
"""Multiply-adds per image below which the overhead outweighs the gain."""

_FEW_CELLS = 200
"""Positions of a map up to which reordering the weights takes a third of the convolution's time, or more."""

_MANY_CELLS = 4096
"""Positions of a map from which on reordering even small weights costs nothing beside the convolution."""

_SMALL_INPUT = 20480
"""Values in one image's input up to which PyTorch takes the older library for weights of up to 3×3."""

_SMALL_WEIGHT = 1 << 18
"""Values in a weight, 1 MiB, up to which keeping three copies is acceptable."""

_MANY_CHANNELS = 256
"""Output channels from which on it is worth looking for those without a gradient."""

_WINOGRAD_CHANNELS, _WINOGRAD_PAIRS = 64, 8192
"""Input and output channels, and pairs of them, from which on Winograd's way was quicker on an EPYC with AVX-512
and as if it had AVX2 only: with 64 of each the transforms outweigh the gain."""

_WINOGRAD_CELLS = 196
"""Positions of an output from which on it is: on smaller maps, reading weights four times as large takes too long."""

_WINDOW_TILES, _WINDOW_SHARE = 4, 0.7
"""Tiles of a window, and the share of their positions inside of it, from which on it is in batches of windows."""

_FEW_CHANNELS = 4
"""Input channels, as of a first layer, so few that oneDNN's gradient of a strided convolution is slow."""


class Conv2d(nn.Conv2d):
    """``nn.Conv2d`` for weights that need no gradient; the same values to within rounding.

    It has its parent's name, which users see in lists of layers.
    """

    min_work = _MIN_WORK
    winograd = False
    _weight_cache: WeightCache | None = None  # of the class: an existing module gets this class without __init__

    def forward(self, input: Tensor) -> Tensor:
        return self.convolve(input, self.weight, self.bias)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution of ``x`` (N, C, H, W) with other weights of the same kernel size."""
        if _is_autocast(x, weight):
            weight = self._cast(weight, torch.get_autocast_dtype(x.device.type))
        if self._is_worth_it(x, weight) and self._is_plain() and _may_choose(x, weight, bias):
            if self.stride != (1, 1):
                if weight.shape[1] <= _FEW_CHANNELS and x.requires_grad:
                    return _StridedConv.apply(x, weight, bias, self)
            elif self._takes_winograd(x, weight):
                return _WinogradConv.apply(x, weight, bias, self)
            elif _is_cacheable(x, weight):
                return _OneDnnConv.apply(x, weight, bias, self)
            else:
                self.weight_cache.drop_packed()
                if _takes_older_library(x, weight):
                    return _OneDnnConv.apply(x, weight, bias, self)
        return _plain_conv2d(self, x, weight, bias)

    @property
    def may_take_winograd(self) -> bool:
        """Whether its shape is one for which Winograd's way is quicker, on maps that are not too small."""
        return self._is_plain() and self.stride == (1, 1) and _has_winograd_shape(self.weight)

    def takes_winograd_on_windows(self, x: Tensor, size: tuple[int, int]) -> bool:
        """Whether windows ``x`` (N, C, H, W) with an output of ``size`` are computed in Winograd's way.

        Its tiles must not pass far beyond the windows, and there must be some, that the weights are read for.
        """
        if not (self.winograd and self.may_take_winograd and _may_choose(x, self.weight, None)):
            return False
        high, wide = (-(-side // TILE) for side in size)
        cells = size[0] * size[1]
        return high * wide >= _WINDOW_TILES and cells >= _WINDOW_SHARE * high * wide * TILE**2

    @property
    def winograd_matrices(self) -> Tensor:
        """The weights as ``winograd_conv2d`` takes them, kept until they change."""
        return self.weight_cache.get("winograd", self.weight, lambda: transform_weights(self.weight))

    def _takes_winograd(self, x: Tensor, weight: Tensor) -> bool:
        if not self.winograd or weight is not self.weight or weight.is_inference() or not _has_winograd_shape(weight):
            return False
        down, across = (int(pad) for pad in self.padding)
        return (x.shape[2] + 2 * down - 2) * (x.shape[3] + 2 * across - 2) >= _WINOGRAD_CELLS

    def _cast(self, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """The weights in autocast's type; autocast itself caches trained weights only, and for one pass."""
        return self.weight_cache.get(str(dtype), weight, lambda: weight.to(dtype))

    @property
    def weight_cache(self) -> WeightCache:
        """What was derived from the weights."""
        if self._weight_cache is None:
            self._weight_cache = WeightCache()
        return self._weight_cache

    def __getstate__(self) -> dict[str, Any]:
        """The attributes without the cache, which is soon filled again."""
        return {name: value for name, value in self.__dict__.items() if name != "_weight_cache"}

    def _is_worth_it(self, x: Tensor, weight: Tensor) -> bool:
        """Based on per-image work so the choice does not depend on batch size."""
        if type(x) is not Tensor or x.ndim != 4:  # a torch.fx proxy or other tensor-like, or an unbatched image
            return False
        return _cells(x) * weight.numel() >= self.min_work

    def _is_plain(self) -> bool:
        return (
            self.groups == 1
            and self.dilation == (1, 1)
            and self.padding_mode == "zeros"
            and not isinstance(self.padding, str)
            and all(pad < side for pad, side in zip(self.padding, self.kernel_size, strict=True))
        )


def use_fast_convs(module: nn.Module, min_work: int | None = None) -> None:
    """Make every ``nn.Conv2d`` inside ``module`` the ``Conv2d`` of this file, in place; names and parameters stay.

    ``min_work``: multiply-adds per image from which on it computes in its own way; about a million if None.
    """
    for child in module.modules():
        if type(child) is nn.Conv2d:
            child.__class__ = Conv2d
            if min_work is not None:
                child.min_work = min_work  # type: ignore[assignment]


def use_winograd(module: nn.Module, on: bool = True) -> None:
    """Let the convolutions of this file inside ``module`` take Winograd's way where it is quicker, or not; in place."""
    for child in module.modules():
        if isinstance(child, Conv2d):
            child.winograd = on


def winograd_bytes(module: nn.Module) -> int:
    """Bytes that the weights inside ``module`` take beside themselves where all that can take Winograd's way do."""
    growth = 36 / 9
    weights = (each.weight for each in module.modules() if isinstance(each, Conv2d) and each.may_take_winograd)
    return round(growth * sum(weight.nbytes for weight in weights))


def convolve(conv: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """What ``conv`` computes of ``x`` (N, C, H, W), with other weights of the same kernel size."""
    return conv.convolve(x, weight, bias) if isinstance(conv, Conv2d) else _plain_conv2d(conv, x, weight, bias)


def _plain_conv2d(conv: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``F.conv2d`` with the settings of ``conv``, as ``nn.Conv2d`` computes it."""
    padding: Any = conv.padding
    if conv.padding_mode != "zeros":
        x, padding = F.pad(x, _padding_by_side(conv), mode=conv.padding_mode), 0
    return F.conv2d(x, weight, bias, conv.stride, padding, conv.dilation, conv.groups)


def _padding_by_side(conv: nn.Conv2d) -> list[int]:
    """Left, right, top and bottom padding, as ``F.pad`` takes it."""
    if conv.padding == "valid":
        return [0, 0, 0, 0]
    if conv.padding == "same":
        totals = [d * (k - 1) for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
        return [side for total in reversed(totals) for side in (total // 2, total - total // 2)]
    top, left = (int(pad) for pad in conv.padding)
    return [left, left, top, top]


def _is_autocast(x: Tensor, weight: Tensor) -> bool:
    """Whether autocast will cast the float32 ``weight``, which needs no gradient, to a shorter type."""
    if type(x) is not Tensor or weight.dtype != torch.float32 or weight.requires_grad:
        return False
    kind = x.device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def _cells(x: Tensor) -> int:
    return x.shape[2] * x.shape[3]


def _may_choose(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether this is a plain float32 pass on a CPU with oneDNN, without gradients of parameters."""
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not (weight.requires_grad or (bias is not None and bias.requires_grad))
        and (bias is None or bias.is_contiguous())  # oneDNN takes its values one after another
        and not torch.is_autocast_enabled("cpu")
        and has_onednn()
    )


def _is_cacheable(x: Tensor, weight: Tensor) -> bool:
    """Whether derived weights are kept: small ones, and those whose reordering would outweigh the convolution."""
    most = _MANY_CELLS if weight.numel() <= _SMALL_WEIGHT else _FEW_CELLS
    return _cells(x) <= most and not weight.is_inference()


def _takes_older_library(x: Tensor, weight: Tensor) -> bool:
    """Whether PyTorch may use its older library."""
    if weight.shape[2:] == (1, 1):
        return True
    return max(weight.shape[2:]) <= 3 and x[0].numel() <= _SMALL_INPUT and weight.numel() <= _SMALL_WEIGHT


def _has_winograd_shape(weight: Tensor) -> bool:
    outputs, channels = weight.shape[:2]
    is_wide = min(outputs, channels) >= _WINOGRAD_CHANNELS and outputs * channels >= _WINOGRAD_PAIRS
    return is_wide and weight.shape[2:] == (3, 3)


class _WinogradConv(torch.autograd.Function):
    """A 3×3 convolution of stride 1 in Winograd's way, and so its gradient."""

    @staticmethod
    def forward(ctx, x, weight, bias, conv):  # type: ignore[no-untyped-def]
        ctx.weight, ctx.conv = weight, conv
        return winograd_conv2d(x, conv.winograd_matrices, bias, conv.padding)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        if torch.is_grad_enabled():  # Winograd's way has no second derivative
            padding = [2 - pad for pad in ctx.conv.padding]
            return onednn_conv2d(gradient, flip_transpose(ctx.weight), None, padding), None, None, None
        return winograd_gradient(gradient, ctx.conv.winograd_matrices, ctx.conv.padding), None, None, None


class _OneDnnConv(torch.autograd.Function):
    """A convolution of stride 1 by oneDNN; its gradient is a convolution with the flipped, transposed weights."""

    @staticmethod
    def forward(ctx, x, weight, bias, conv):  # type: ignore[no-untyped-def]
        ctx.weight, ctx.conv, ctx.is_cached = weight, conv, _is_cacheable(x, weight)
        used, padding = weight, conv.padding
        if ctx.is_cached:
            used = conv.weight_cache.get_packed("forward", weight, x.shape, padding, lambda: weight)
        return onednn_conv2d(x, used, bias, padding)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        weight, conv = ctx.weight, ctx.conv
        padding = [side - 1 - pad for side, pad in zip(weight.shape[2:], conv.padding, strict=True)]
        active = _active_channels(gradient)
        if active is not None:
            gradient, used = gradient[:, active], flip_transpose(weight[active])
        elif ctx.is_cached and not torch.is_grad_enabled():  # packed weights have no second derivative
            used = conv.weight_cache.get_packed(
                "adjoint", weight, gradient.shape, padding, lambda: flip_transpose(weight)
            )
        else:
            used = flip_transpose(weight)
        return onednn_conv2d(gradient, used, None, padding), None, None, None


def _active_channels(gradient: Tensor) -> Tensor | None:
    """The channels of (N, C, H, W) with a nonzero gradient, if they are at most one in eight; otherwise None.

    In a convolution that scores the classes, only the target's channel has one.
    """
    few = gradient.shape[1] // 8
    if gradient.shape[1] < _MANY_CHANNELS or gradient[:, :, 0, 0].count_nonzero() > len(gradient) * few:
        return None
    active = gradient.abs().amax((0, 2, 3)).nonzero()[:, 0]
    return active if 0 < len(active) <= few else None


class _StridedConv(torch.autograd.Function):
    """A strided convolution of few input channels, whose gradient is computed phase by phase."""

    @staticmethod
    def forward(ctx, x, weight, bias, conv):  # type: ignore[no-untyped-def]
        ctx.weight, ctx.conv, ctx.size = weight, conv, x.shape[2:]
        return F.conv2d(x, weight, bias, conv.stride, conv.padding)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        weight, stride = ctx.weight, ctx.conv.stride
        used = ctx.conv.weight_cache.get("phases", weight, lambda: sub_pixel_weights(weight, stride))
        padding = tuple(side - 1 for side in used.shape[2:])
        found = pixel_shuffle(F.conv2d(gradient, used, padding=padding), weight.shape[1], stride)
        (top, left), (height, width) = ctx.conv.padding, ctx.size
        # Input that no window reaches has no gradient.
        beyond = [max(0, left + width - found.shape[3]), max(0, top + height - found.shape[2])]
        found = F.pad(found, (0, beyond[0], 0, beyond[1])) if any(beyond) else found
        return found[..., top : top + height, left : left + width], None, None, None
