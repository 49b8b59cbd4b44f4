"""Precision: what ``auto`` means for each technique on each device. docs/precision.md has what each costs and gains.

Autocast shortens convolutions and matrix products only; logits, features, losses, Gram matrices and optimisers stay in
float32 (``Network`` returns nothing shorter).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from cnnviz.errors import ModelError, UsageError
from cnnviz.runtime.cancellation import check_cancelled
from cnnviz.runtime.private_torch import cpu_computes_bf16

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
        return "bf16" if cpu_computes_bf16() else "fp32"
    return "fp32"


@contextmanager
def conv_precision(precision: str, device: torch.device) -> Iterator[None]:
    """A pass forward on CUDA: float32 convolutions use TF32 for ``tf32``, and no shorter type for all else.

    PyTorch lets cuDNN use TF32 by default, which changes a gradient map as much as fp16 does. The process's setting is
    put back at the end. Matrix products are in float32 as PyTorch has them; what autocast shortens is not concerned.
    """
    if device.type != "cuda":
        yield
        return
    _this_thread.wanted = "tf32" if precision == "tf32" else "ieee"
    with _tf32.set_to(_this_thread.wanted):
        yield


@contextmanager
def backward_precision() -> Iterator[None]:
    """A pass backward, with convolutions as in this thread's last pass forward of a network on CUDA."""
    wanted = getattr(_this_thread, "wanted", None)
    if wanted is None:
        yield
        return
    with _tf32.set_to(wanted):
        yield


def gradients_of(*arguments: Any, **options: Any) -> tuple[Tensor, ...]:
    """``torch.autograd.grad``, computed as the pass forward was.

    Raises ModelError where what a module computes has no gradient.
    """
    check_cancelled()
    try:
        with backward_precision():
            return torch.autograd.grad(*arguments, **options)
    except RuntimeError as error:
        if not any(each in str(error) for each in _WITHOUT_GRADIENT):
            raise
        raise ModelError(
            "There is no gradient to follow: on its way the module leaves it out (torch.no_grad, detach, integers, "
            f"quantized layers) or stands in its way. PyTorch says: {str(error).splitlines()[0]}"
        ) from error


_WITHOUT_GRADIENT = (
    "not require grad", "not have been used in the graph", "modified by an inplace operation", "is not implemented",
    "torch.utils.checkpoint",
)  # fmt: skip
"""Parts of what PyTorch says where there is no gradient."""


class _Setting:
    """cuDNN's setting for convolutions in float32, which is one for all threads: ``tf32`` or ``ieee``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before = "none"

    @contextmanager
    def set_to(self, wanted: str) -> Iterator[None]:
        """``wanted`` meanwhile; what the process had comes back when the last thread is done."""
        with self._lock:
            outer = _read_tf32()
            if not self._users:
                self._before = outer
            self._users += 1
            _write_tf32(wanted)
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                _write_tf32(outer if self._users else self._before)


def _read_tf32() -> str:
    cudnn = torch.backends.cudnn
    if hasattr(cudnn, "conv"):  # from torch 2.9 on, where the older flag is an error once a program uses this one
        found: str = cudnn.conv.fp32_precision
        return found
    return "tf32" if cudnn.allow_tf32 else "ieee"


def _write_tf32(value: str) -> None:
    cudnn = torch.backends.cudnn
    if _read_tf32() == value:
        return
    if hasattr(cudnn, "conv"):
        cudnn.conv.fp32_precision = value
    else:
        cudnn.allow_tf32 = value == "tf32"


_tf32 = _Setting()
_this_thread = threading.local()


def _has_tf32(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
