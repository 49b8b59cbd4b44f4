"""What the machine can do at best: matrix products and 3×3 convolutions, as measured here and now."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch.nn import functional as F

from benchmarks.timing import seconds

_SIDE = {"cpu": 1024, "cuda": 8192}
"""Of the square matrices."""

_PICTURES = {"cpu": 1, "cuda": 64}
_CHANNELS, _EXTENT = 256, 56
"""Of the convolution, channels last: a layer of VGG's kind, which suits every processor."""

_TRAFFIC = 1 << 23
"""Bytes that are copied: more than a core's own cache holds, as the maps of a first layer."""

_ROUNDS = 7


@cache
def measured_peaks(device: torch.device) -> dict[str, float]:
    """GFLOP/s of one thread, or of a GPU: the best of some rounds, by operation and precision."""
    found = {}
    for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        found[f"matmul {name}"] = _best(*_matmul(device, kind), device)
        found[f"convolution {name}"] = _best(*_convolution(device, kind), device)
    return found


@cache
def measured_traffic(device: torch.device) -> float:
    """GB/s, read and written, of one thread or of a GPU, in copying maps of a usual size: the best of some rounds."""
    source = torch.rand(_TRAFFIC // 4, device=device)
    target = torch.empty_like(source)
    return _best(lambda: target.copy_(source), 2.0 * _TRAFFIC, device)


def _matmul(device: torch.device, kind: torch.dtype) -> tuple[Callable[[], object], float]:
    side = _SIDE[device.type]
    one, other = (torch.rand(side, side, device=device).to(kind) for _ in range(2))
    return lambda: one @ other, 2.0 * side**3


def _convolution(device: torch.device, kind: torch.dtype) -> tuple[Callable[[], object], float]:
    count = _PICTURES[device.type]
    maps = torch.rand(count, _CHANNELS, _EXTENT, _EXTENT, device=device).to(kind, memory_format=torch.channels_last)
    weights = torch.rand(_CHANNELS, _CHANNELS, 3, 3, device=device).to(kind, memory_format=torch.channels_last)
    return lambda: F.conv2d(maps, weights, padding=1), 2.0 * count * _CHANNELS**2 * 9 * _EXTENT**2


@torch.inference_mode()
def _best(run: Callable[[], object], operations: float, device: torch.device) -> float:
    """The most that ``run`` was seen to do of ``operations``, in billions a second."""
    run()
    return operations / min(seconds(run, device) for _ in range(_ROUNDS)) / 1e9
