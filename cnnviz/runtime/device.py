"""Device: what ``auto`` means on this machine, and clear errors for what it does not have."""

from __future__ import annotations

import re

import torch

from cnnviz.errors import UsageError


def choose_device(wanted: str = "auto") -> torch.device:
    """The torch device for ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    ``auto`` is CUDA, then Apple's MPS, then the CPU. A device this machine lacks is a UsageError.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", wanted):
        raise UsageError(f"There is no device '{wanted}'; give auto, cpu, cuda, cuda:N or mps.")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        found = f"only {count} CUDA device{'s' if count > 1 else ''}" if count else "no CUDA device"
        raise UsageError(f"Device '{wanted}' is not here: torch finds {found}. '--device auto' takes what there is.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("Device 'mps' is not here: this is no Apple-silicon machine. Try '--device auto'.")
    return device
