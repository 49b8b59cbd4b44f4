"""Receptive fields: the input pixels that one position of a feature map depends on.

The arithmetic of Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285, carried
through the torch.fx graph (``cnnviz.network.receptive_fields``). Where paths meet (residual sums, concatenations) the
field is the union of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

Pair = tuple[int, int]
Cells = TypeVar("Cells", int, "Tensor")
"""A position along an axis, or a tensor of several."""


@dataclass(frozen=True)
class ReceptiveField:
    """The input pixels that position (y, x) of a map depends on, as (vertical, horizontal), in pixels.

    Rows ``stride[0] * y + low[0]`` to ``stride[0] * y + high[0]``, and columns alike. ``low`` is negative where padding
    extends the field over the image's border.
    """

    stride: Pair
    low: Pair
    high: Pair

    @property
    def size(self) -> Pair:
        """Height and width of the field in input pixels, before clipping at the border."""
        return self.high[0] - self.low[0] + 1, self.high[1] - self.low[1] + 1

    def window(self, y: int, x: int) -> tuple[int, int, int, int]:
        """Top, left, bottom, right (exclusive) of the field of position (y, x); it may extend outside the image."""
        top, left = self.stride[0] * y + self.low[0], self.stride[1] * x + self.low[1]
        return top, left, top + self.size[0], left + self.size[1]

    def through(self, windows: ConvWindows) -> ReceptiveField:
        """The field after one more convolution or pooling."""
        axes = list(zip(self.stride, self.low, self.high, windows, strict=True))
        return ReceptiveField(
            stride=_pair_of(stride * w.stride for stride, _, _, w in axes),
            low=_pair_of(low - stride * w.padding for stride, low, _, w in axes),
            high=_pair_of(high + stride * (w.reach - w.padding) for stride, _, high, w in axes),
        )

    def through_transposed(self, windows: ConvWindows) -> ReceptiveField | None:
        """The field after a transposed convolution; None where its positions lie between pixels."""
        if any(stride % w.stride for stride, w in zip(self.stride, windows, strict=True)):
            return None
        step = _pair_of(stride // w.stride for stride, w in zip(self.stride, windows, strict=True))
        axes = list(zip(step, self.low, self.high, windows, strict=True))
        return ReceptiveField(
            stride=step,
            low=_pair_of(low + each * (w.padding - w.reach) for each, low, _, w in axes),
            high=_pair_of(high + each * w.padding for each, _, high, w in axes),
        )

    def union(self, other: ReceptiveField) -> ReceptiveField | None:
        """The smallest field that contains both; None where their strides differ."""
        if self.stride != other.stride:
            return None
        return ReceptiveField(
            self.stride,
            low=(min(self.low[0], other.low[0]), min(self.low[1], other.low[1])),
            high=(max(self.high[0], other.high[0]), max(self.high[1], other.high[1])),
        )


class Coverage(Enum):
    """What a position depends on where that is no window: the whole image, or what is not known."""

    WHOLE = "all"
    UNKNOWN = "unknown"


Region = ReceptiveField | Coverage


PIXEL = ReceptiveField(stride=(1, 1), low=(0, 0), high=(0, 0))


@dataclass(frozen=True)
class ConvWindow:
    """The sliding window of a convolution or pooling along one axis.

    Output cell ``o`` reads input cells ``o * stride - padding + dilation * j`` for ``0 <= j < kernel``.
    """

    kernel: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    @property
    def reach(self) -> int:
        """Distance from the first to the last cell read."""
        return self.dilation * (self.kernel - 1)

    def readers(self, first: Cells, last: Cells) -> tuple[Cells, Cells]:
        """The output cells ``[first, last)`` that read any of the input cells ``[first, last)``, unclipped."""
        return -((self.reach - self.padding - first) // self.stride), (last - 1 + self.padding) // self.stride + 1

    def num_read(self, length: int) -> int:
        """How many input cells, from the first to the last read, ``length`` output cells need."""
        return (length - 1) * self.stride + self.reach + 1

    def read(self, start: Cells, size: int) -> tuple[Cells, int]:
        """Start and size of what ``size`` output cells from ``start`` on read, padding included."""
        return start * self.stride - self.padding, self.num_read(size)


ConvWindows = tuple[ConvWindow, ConvWindow]
"""The vertical and the horizontal window of a layer."""


def as_pair(value: Any) -> Pair:
    """An option of a layer as (vertical, horizontal), whether given as one number or two."""
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[-1]))


def conv_windows(kernel: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1) -> ConvWindows:
    """The windows of a layer by the options that PyTorch's layers take; ``stride`` is ``kernel`` if None."""
    kernel, dilation = as_pair(kernel), as_pair(dilation)
    if padding == "same":  # an even kernel's extra cell of padding is at the end
        padding = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
    padding = 0 if padding == "valid" else padding
    stride = kernel if stride is None else as_pair(stride)
    rows, columns = (ConvWindow(*axis) for axis in zip(kernel, stride, as_pair(padding), dilation, strict=True))
    return rows, columns


def _pair_of(values: Iterable[int]) -> Pair:
    first, second = values
    return first, second


def union(seen: Iterable[Region]) -> Region:
    """The region that contains all of ``seen``."""
    found: Region | None = None
    for each in seen:
        if found is None or each is Coverage.WHOLE or found is Coverage.WHOLE:
            found = Coverage.WHOLE if found is Coverage.WHOLE else each
        elif isinstance(found, Coverage) or isinstance(each, Coverage):
            found = Coverage.UNKNOWN
        else:
            found = found.union(each) or Coverage.UNKNOWN
    return Coverage.UNKNOWN if found is None else found
