"""Numeric precision: what ``auto`` means on each device, and TF32 for convolutions. See docs/precision.md.

Autocast lowers the precision of convolutions and matrix products only; logits, features, losses, Gram matrices and
optimizers stay in float32.
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
from cnnviz.runtime.workload import Workload

PRECISIONS = ("auto", "fp32", "tf32", "bf16", "fp16")

_TENSOR_CORES = (7, 0)
"""The compute capability from which GPUs have fp16 units; for TF32 and bf16 it is (8, 0)."""


def choose_precision(wanted: str, device: torch.device, workload: Workload = "exact") -> str:
    """``fp32``, ``tf32``, ``bf16`` or ``fp16``: ``wanted``, or what ``auto`` means for this device and workload.

    ``auto`` is fp32 for ``exact`` workloads; tf32 for ``forward`` and ``scores`` on GPUs that have it, else
    fp32; and the fastest for ``synthesis``. Raises UsageError for a precision that the device does not have.
    """
    if wanted not in PRECISIONS:
        raise UsageError(f"There is no precision '{wanted}'; give one of {', '.join(PRECISIONS)}.")
    if wanted == "fp16" and device.type == "cpu":
        raise UsageError("Precision fp16 is for GPUs; on the CPU use bf16 or fp32.")
    if wanted == "tf32" and not _has_tf32(device):
        raise UsageError("Precision tf32 is for NVIDIA GPUs from Ampere on (2020); use fp32, or bf16 where it is fast.")
    if wanted != "auto":
        return wanted
    if workload == "synthesis":
        return fastest_precision(device)
    return "tf32" if workload in ("forward", "scores") and _has_tf32(device) else "fp32"


def fastest_precision(device: torch.device) -> str:
    """``bf16``, or ``fp16`` on GPUs without it, where this device computes it faster than ``fp32``; else ``fp32``."""
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16"
        return "fp16" if torch.cuda.get_device_capability(device) >= _TENSOR_CORES else "fp32"
    if device.type == "cpu":
        return "bf16" if cpu_computes_bf16() else "fp32"
    return "fp32"


@contextmanager
def conv_precision(precision: str, device: torch.device) -> Iterator[None]:
    """A forward pass: on CUDA, float32 convolutions use TF32 if ``precision`` is ``tf32`` and not otherwise.

    PyTorch lets cuDNN use TF32 by default, which changes a gradient map as much as fp16 does. The process's own
    setting is restored at the end. Matrix products and autocast are not affected.
    """
    if device.type != "cuda":
        yield
        return
    _this_thread.wanted = "tf32" if precision == "tf32" else "ieee"
    with _tf32.set_to(_this_thread.wanted):
        yield


@contextmanager
def backward_precision() -> Iterator[None]:
    """A backward pass: convolutions use TF32 or not, as in the last forward pass of this thread on CUDA."""
    wanted = getattr(_this_thread, "wanted", None)
    if wanted is None:
        yield
        return
    with _tf32.set_to(wanted):
        yield


def gradients_of(*arguments: Any, **options: Any) -> tuple[Tensor, ...]:
    """``torch.autograd.grad``, in the precision of the forward pass.

    Raises ModelError where what a module computes has no gradient.
    """
    check_cancelled()
    try:
        with backward_precision():
            return torch.autograd.grad(*arguments, **options)
    except RuntimeError as error:
        if not any(each in str(error) for each in _NO_GRADIENT_MESSAGES):
            raise
        raise ModelError(
            "There is no gradient to follow: on its way the module leaves it out (torch.no_grad, detach, integers, "
            f"quantized layers) or stands in its way. PyTorch says: {str(error).splitlines()[0]}",
            remedy="without_gradients",
        ) from error


_NO_GRADIENT_MESSAGES = (
    "not require grad", "not have been used in the graph", "modified by an inplace operation", "is not implemented",
    "torch.utils.checkpoint",
)  # fmt: skip
"""Parts of PyTorch's messages where there is no gradient."""


class _ProcessSetting:
    """cuDNN's float32 precision of convolutions, ``tf32`` or ``ieee``, which is one for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._original = "none"

    @contextmanager
    def set_to(self, wanted: str) -> Iterator[None]:
        """``wanted`` inside the block; the process's own value returns when the last thread leaves."""
        with self._lock:
            outer = tf32_setting()
            if not self._users:
                self._original = outer
            self._users += 1
            set_tf32(wanted)
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                set_tf32(outer if self._users else self._original)


def tf32_setting() -> str:
    """cuDNN's float32 precision of convolutions in this process, as PyTorch names it: ``tf32``, ``ieee``, ``none``."""
    cudnn = torch.backends.cudnn
    if hasattr(cudnn, "conv"):  # from torch 2.9 on; once a program uses it, reading the older flag is an error
        found: str = cudnn.conv.fp32_precision
        return found
    return "tf32" if cudnn.allow_tf32 else "ieee"


def set_tf32(value: str) -> None:
    """Set what ``tf32_setting`` reads, for the whole process."""
    cudnn = torch.backends.cudnn
    if tf32_setting() == value:
        return
    if hasattr(cudnn, "conv"):
        cudnn.conv.fp32_precision = value
    else:
        cudnn.allow_tf32 = value == "tf32"


_tf32 = _ProcessSetting()
_this_thread = threading.local()


def _has_tf32(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def at_least_float32(value: Tensor) -> Tensor:
    """A tensor in float32, or unchanged if it is in float64."""
    return value if value.dtype == torch.float64 else value.float()
