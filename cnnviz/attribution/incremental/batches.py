"""Batch sizes: how many patch positions to compute at a time."""

from __future__ import annotations

from collections.abc import Mapping

import torch

WORKING_SET = {"cpu": 30 << 20, "cuda": 2 << 30}
"""Bytes that one operation of a batch may read and write: about a CPU's cache, or enough to fill a GPU."""

WINDOWS = {"cpu": 8 << 20, "cuda": 2 << 30}
"""Bytes that one operation of a batch of windows may read and write: beyond this, more memory gains little time."""

LARGEST_BATCH = {"cpu": 16, "cuda": 256}
"""Larger batches are not faster."""

SLICE_BYTES = {"cpu": 16 << 20, "cuda": 2 << 30}
"""Bytes of maps computed at a time where only their sum is kept."""


def positions_per_slice(bytes_each: int, device: torch.device) -> int:
    """Number of positions of a batch to compute at a time where only the sum of their maps is kept."""
    return max(1, SLICE_BYTES["cpu" if device.type == "cpu" else "cuda"] // max(1, bytes_each))


def batch_of_maps(bytes_each: int, device: torch.device) -> int:
    """Number of positions to compute at a time if each takes ``bytes_each`` in the largest operation."""
    return _batch(bytes_each, device, WORKING_SET)


def batch_of_windows(bytes_each: int, device: torch.device, cached: int) -> int:
    """Number of windows to compute at a time, while ``cached`` bytes of maps stay in memory."""
    left = {kind: min(WINDOWS[kind], max(WORKING_SET[kind] - cached, WORKING_SET[kind] // 4)) for kind in WINDOWS}
    return _batch(bytes_each, device, left)


def _batch(bytes_each: int, device: torch.device, working_set: Mapping[str, int]) -> int:
    kind = "cpu" if device.type == "cpu" else "cuda"
    return max(1, min(LARGEST_BATCH[kind], working_set[kind] // max(1, bytes_each)))
