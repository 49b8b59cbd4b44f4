"""How many positions to compute at a time."""

from __future__ import annotations

from collections.abc import Mapping

import torch

WORKING_SET = {"cpu": 30 << 20, "cuda": 2 << 30}
"""Bytes that one operation of a batch may read and write: about a CPU's cache; enough to fill a GPU."""

WINDOWS = {"cpu": 8 << 20, "cuda": 2 << 30}
"""The same of windows, which are smaller than maps: larger batches of them gain less than their memory costs."""

LARGEST_BATCH = {"cpu": 16, "cuda": 256}
"""Larger batches gain nothing more."""

SLICE = {"cpu": 16 << 20, "cuda": 2 << 30}
"""Bytes of maps that only a sum is taken of."""


def slice_of(bytes_each: int, device: torch.device) -> int:
    """How many positions of a batch to take at a time through maps of which only a sum is kept."""
    return max(1, SLICE["cpu" if device.type == "cpu" else "cuda"] // max(1, bytes_each))


def fitting_batch(bytes_each: int, device: torch.device) -> int:
    """How many positions to compute at a time if each takes ``bytes_each`` in the largest operation."""
    return _batch(bytes_each, device, WORKING_SET)


def fitting_windows(bytes_each: int, device: torch.device, cached: int) -> int:
    """The same for windows, beside which ``cached`` bytes of maps stay in memory."""
    left = {kind: min(WINDOWS[kind], max(WORKING_SET[kind] - cached, WORKING_SET[kind] // 4)) for kind in WINDOWS}
    return _batch(bytes_each, device, left)


def _batch(bytes_each: int, device: torch.device, working_set: Mapping[str, int]) -> int:
    kind = "cpu" if device.type == "cpu" else "cuda"
    return max(1, min(LARGEST_BATCH[kind], working_set[kind] // max(1, bytes_each)))
