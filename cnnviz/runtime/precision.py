"""Precision: what ``auto`` means for each technique on each device. docs/precision.md has what each costs and gains.

Autocast shortens convolutions and matrix products only; logits, features, losses, Gram matrices and optimisers stay in
float32 (``Network`` returns nothing shorter).
"""

from __future__ import annotations

import torch

from cnnviz.errors import UsageError

PRECISIONS = ("auto", "fp32", "tf32", "bf16", "fp16")

PAINTINGS = frozenset({"style", "texture", "dream", "visualize", "invert"})
"""Techniques whose result is a picture and no measurement: rounding ends in a picture as good, like another seed."""

FORWARD = frozenset({"occlusion", "embed", "neighbors", "patches"})
"""Techniques of many passes forward and none backward: TF32 changes their figures in the fourth digit."""

_TENSOR_CORES = (7, 0)
"""The compute capability from which GPUs have units for fp16; for TF32 and bf16 it is (8, 0)."""


def choose_precision(wanted: str, device: torch.device, technique: str | None = None) -> str:
    """``fp32``, ``tf32``, ``bf16`` or ``fp16`` for what was asked.

    ``auto`` is fp32, in which gradients, scores and attacks agree with references on every device, but for
    ``PAINTINGS``, which take the quickest, and ``FORWARD``, which take tf32 where there is such a thing. A
    precision that this device lacks is a UsageError.
    """
    if wanted not in PRECISIONS:
        raise UsageError(f"There is no precision '{wanted}'; give one of {', '.join(PRECISIONS)}.")
    if wanted == "fp16" and device.type == "cpu":
        raise UsageError("Precision fp16 is for GPUs; on the CPU use bf16 or fp32.")
    if wanted == "tf32" and not _has_tf32(device):
        raise UsageError(
            "Precision tf32 is for NVIDIA GPUs from Ampere on (2020); use fp32, or bf16 where it is quick."
        )
    if wanted == "auto":
        return _automatic(device, technique)
    return wanted


def _automatic(device: torch.device, technique: str | None) -> str:
    if technique in PAINTINGS:
        return quick_precision(device)
    return "tf32" if technique in FORWARD and _has_tf32(device) else "fp32"


def quick_precision(device: torch.device) -> str:
    """``bf16``, or on GPUs without it ``fp16``, where this device computes it faster than ``fp32``."""
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16"
        return "fp16" if torch.cuda.get_device_capability(device) >= _TENSOR_CORES else "fp32"
    if device.type == "cpu":
        capability = torch.backends.cpu.get_cpu_capability()
        fast = capability.startswith("AVX512") and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return "bf16" if fast and torch.cpu._is_avx512_bf16_supported() else "fp32"
    return "fp32"


def settle_tf32(precision: str, device: torch.device) -> None:
    """On CUDA, let cuDNN's convolutions compute in TF32 for ``tf32``, and in whole float32 for all else.

    torch lets them by itself, which changes a gradient map as much as fp16 does. Set once, where a network is loaded,
    for all that comes after: passes backward run after any context around the pass forward has ended. Matrix products
    are in float32 as torch has them; what autocast shortens is not concerned.
    """
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = precision == "tf32"


def _has_tf32(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
