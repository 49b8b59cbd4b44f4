"""Receptive fields: which input pixels one position of a feature map sees.

The arithmetic of Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285, carried
through the torch.fx graph (``cnnviz.network.receptive_fields``). Where paths meet (residual sums, concatenations) the
field is the union of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

Pair = tuple[int, int]


@dataclass(frozen=True)
class ReceptiveField:
    """What a map's position (y, x) sees: rows ``stride[0]*y + low[0]`` to ``stride[0]*y + high[0]``, columns alike.

    ``low`` is negative where padding lets the field hang over the picture's border. All in input pixels, as
    (vertical, horizontal).
    """

    stride: Pair
    low: Pair
    high: Pair

    @property
    def size(self) -> Pair:
        """Height and width of the field in input pixels, before clipping at the border."""
        return self.high[0] - self.low[0] + 1, self.high[1] - self.low[1] + 1

    def window(self, y: int, x: int) -> tuple[int, int, int, int]:
        """Top, left, bottom, right (exclusive) of what position (y, x) sees; may lie outside the picture."""
        top, left = self.stride[0] * y + self.low[0], self.stride[1] * x + self.low[1]
        return top, left, top + self.size[0], left + self.size[1]

    def through(self, window: Window) -> ReceptiveField:
        """The field after one more sliding window (convolution or pooling)."""
        axes = range(2)
        low = [self.low[a] - self.stride[a] * window.padding[a] for a in axes]
        reach = [self.stride[a] * (window.dilation[a] * (window.kernel[a] - 1) - window.padding[a]) for a in axes]
        return ReceptiveField(
            stride=(self.stride[0] * window.stride[0], self.stride[1] * window.stride[1]),
            low=(low[0], low[1]),
            high=(self.high[0] + reach[0], self.high[1] + reach[1]),
        )

    def through_transposed(self, window: Window) -> ReceptiveField | None:
        """The field after a transposed convolution; None where its positions lie between the pixels."""
        if any(self.stride[a] % window.stride[a] for a in range(2)):
            return None
        step = [self.stride[a] // window.stride[a] for a in range(2)]
        low = [
            self.low[a] + step[a] * (window.padding[a] - window.dilation[a] * (window.kernel[a] - 1)) for a in (0, 1)
        ]
        high = [self.high[a] + step[a] * window.padding[a] for a in (0, 1)]
        return ReceptiveField((step[0], step[1]), (low[0], low[1]), (high[0], high[1]))

    def joined(self, other: ReceptiveField) -> ReceptiveField | None:
        """The smallest field that holds both; None where their strides differ."""
        if self.stride != other.stride:
            return None
        return ReceptiveField(
            self.stride,
            low=(min(self.low[0], other.low[0]), min(self.low[1], other.low[1])),
            high=(max(self.high[0], other.high[0]), max(self.high[1], other.high[1])),
        )


class Coverage(Enum):
    """What a position sees, where that is no window of its own."""

    WHOLE = "all"
    UNKNOWN = "unknown"


Region = ReceptiveField | Coverage


PIXEL = ReceptiveField(stride=(1, 1), low=(0, 0), high=(0, 0))


@dataclass(frozen=True)
class Window:
    """The sliding window of a convolution or pooling layer, each as (vertical, horizontal)."""

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)

    def turned(self) -> Window:
        """The window where rows and columns have changed places."""
        return Window(self.kernel[::-1], self.stride[::-1], self.padding[::-1], self.dilation[::-1])


def _pair(value: Any) -> Pair:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[-1]))


def conv_window(kernel: Any, stride: Any, padding: Any, dilation: Any) -> Window:
    """A window of the arguments that PyTorch's layers take."""
    kernel, dilation = _pair(kernel), _pair(dilation)
    if padding == "valid":
        padding = 0
    elif padding == "same":
        # torch puts the odd pixel of an even kernel's padding after the picture, so the field begins earlier.
        padding = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
    return Window(kernel, _pair(stride), _pair(padding), dilation)


def union(seen: Iterable[Region]) -> Region:
    """What is seen by those who see one or the other."""
    found: Region | None = None
    for each in seen:
        if found is None or each is Coverage.WHOLE or found is Coverage.WHOLE:
            found = Coverage.WHOLE if found is Coverage.WHOLE else each
        elif isinstance(found, Coverage) or isinstance(each, Coverage):
            found = Coverage.UNKNOWN
        else:
            found = found.joined(each) or Coverage.UNKNOWN
    return Coverage.UNKNOWN if found is None else found
