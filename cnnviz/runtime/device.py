"""Device and precision: what ``auto`` means on this machine, and clear errors for what it does not have."""

from __future__ import annotations

import re

import torch

from cnnviz.errors import UsageError

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


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


def choose_precision(wanted: str, device: torch.device) -> str:
    """``fp32``, ``bf16`` or ``fp16`` for what was asked; ``auto`` is fp32, which keeps every figure exact."""
    if wanted not in PRECISIONS:
        raise UsageError(f"There is no precision '{wanted}'; give one of {', '.join(PRECISIONS)}.")
    if wanted == "fp16" and device.type == "cpu":
        raise UsageError("Precision fp16 is for GPUs; on the CPU use bf16 or fp32.")
    return "fp32" if wanted == "auto" else wanted


def quick_precision(device: torch.device) -> str:
    """``bf16`` where this device computes it faster than ``fp32``, for work that asks for no exact figures."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu":
        capability = torch.backends.cpu.get_cpu_capability()
        fast = capability.startswith("AVX512") and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return "bf16" if fast and torch.cpu._is_avx512_bf16_supported() else "fp32"
    return "fp32"
