"""PyTorch operations that have no public name, each with a plain fall-back.

Private operations change between releases and are missing in some builds. They are called here and nowhere else: each
function checks once that the operation exists and computes the right values, and otherwise does the same by public
means, or says that it is not available. Within ``disabled()``, as in tests, all take their fall-backs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_ONES = (1, 1)
_ENDLESS = 1 << 31
_MISSING = (AttributeError, ImportError, NotImplementedError, RuntimeError, TypeError)
"""What PyTorch raises where an operation is missing, not built in, or takes other arguments."""

_switch = SimpleNamespace(is_off=False)


@contextmanager
def disabled() -> Iterator[None]:
    """Take the public fall-back of every function here while the block runs, in all threads."""
    before, _switch.is_off = _switch.is_off, True
    try:
        yield
    finally:
        _switch.is_off = before


def _is_usable(check: Callable[[], bool]) -> Callable[[], bool]:
    """Whether ``check``, run once, succeeds; False while ``disabled``."""

    @functools.lru_cache(maxsize=1)
    def passes() -> bool:
        try:
            return check()
        except _MISSING:
            return False

    return functools.wraps(check)(lambda: not _switch.is_off and passes())


# --- convolutions by oneDNN


def has_onednn() -> bool:
    """Whether this PyTorch has oneDNN, switched on, and an operation that convolves with it."""
    return bool(torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled) and _can_call_onednn()


def onednn_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, padding: Sequence[int]) -> Tensor:
    """``F.conv2d`` at stride 1 by oneDNN, with plain weights (differentiable) or those of ``pack_weight`` (not).

    Where ``has_onednn`` is False, ``F.conv2d``, which chooses the library itself.
    """
    if weight.is_mkldnn:
        return _packed_conv2d(x.contiguous(memory_format=torch.channels_last), weight, bias, padding)
    if not _can_call_onednn():
        return F.conv2d(x, weight, bias, padding=tuple(padding))
    return torch.mkldnn_convolution(x, weight, bias, padding, _ONES, _ONES, 1)


def pack_weight(weight: Tensor, padding: Sequence[int], size: Sequence[int]) -> Tensor:
    """Convolution weights in the memory order that oneDNN uses for inputs of ``size`` (N, C, H, W).

    Otherwise each call reorders them, which takes a third as long as the convolution for maps of 14×14 and longer than
    it for those of 7×7. Results are the same to the last bit. Where PyTorch cannot do so, ``weight`` itself.
    """
    return _reordered(weight, padding, size) if can_pack_weights() else weight


def _packed_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, padding: Sequence[int]) -> Tensor:
    found: Tensor = torch.ops.mkldnn._convolution_pointwise(x, weight, bias, padding, _ONES, _ONES, 1, "none", [], "")
    return found


def _reordered(weight: Tensor, padding: Sequence[int], size: Sequence[int]) -> Tensor:
    found: Tensor = torch.ops.mkldnn._reorder_convolution_weight(weight, padding, _ONES, _ONES, 1, size)
    return found


def _numbers(*shape: int) -> Tensor:
    """Numbers from -1 to 1, float32 on the CPU whatever the process's defaults."""
    return torch.linspace(-1, 1, math.prod(shape), dtype=torch.float32, device="cpu").view(shape)


def _example() -> tuple[Tensor, Tensor, Tensor]:
    """A small input, convolution weights, and their result at padding 1."""
    weight, x = _numbers(16, 8, 3, 3), _numbers(1, 8, 7, 7)
    return x, weight, F.conv2d(x, weight, padding=1)


@_is_usable
def _can_call_onednn() -> bool:
    x, weight, expected = _example()
    return torch.allclose(torch.mkldnn_convolution(x, weight, None, _ONES, _ONES, _ONES, 1), expected, atol=1e-4)


@_is_usable
def can_pack_weights() -> bool:
    """Whether this PyTorch has the operations by which its compiler packs convolution weights."""
    x, weight, expected = _example()
    return torch.allclose(_packed_conv2d(x, _reordered(weight, _ONES, x.shape), None, _ONES), expected, atol=1e-4)


# --- sizes of exported programs


def bounds(size: int | torch.SymInt) -> tuple[int, int | None]:
    """The least and the largest value of a size of a traced tensor; None where there is no largest.

    A size without known bounds may be anything from 1.
    """
    if isinstance(size, int):
        return size, size
    try:
        shapes: Any = size.node.shape_env
        found = shapes.bound_sympy(size.node.expr)
        return max(1, int(found.lower)), int(found.upper) if found.upper < _ENDLESS else None
    except Exception:  # attributes of torch's own, which may change
        return 1, None


# --- gradients of single operations


def sigmoid_gradient(gradient: Tensor, output: Tensor) -> Tensor:
    """The gradient of a sigmoid's input, of its ``output`` and that output's gradient, in one pass where possible."""
    if _has_sigmoid_backward():
        found: Tensor = torch.ops.aten.sigmoid_backward(gradient, output)
        return found
    return gradient * (1 - output) * output


@_is_usable
def _has_sigmoid_backward() -> bool:
    output, gradient = _numbers(5).abs(), _numbers(5)
    found: Tensor = torch.ops.aten.sigmoid_backward(gradient, output)
    return torch.allclose(found, gradient * (1 - output) * output)


# --- questions about this machine and this pass


def cpu_computes_bf16() -> bool:
    """Whether this CPU has bfloat16 units and this PyTorch uses them through oneDNN; False where it cannot tell."""
    if _switch.is_off or not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        return False
    try:
        return (
            torch.backends.cpu.get_cpu_capability().startswith("AVX512")
            and torch.ops.mkldnn._is_mkldnn_bf16_supported()
            and torch.cpu._is_avx512_bf16_supported()
        )
    except _MISSING:
        return False


def without_torch_func() -> AbstractContextManager[Any]:
    """A context in which operations ignore the transforms of ``torch.func`` around them."""
    disable = None if _switch.is_off else getattr(torch._C, "_DisableFuncTorch", None)
    return nullcontext() if disable is None else disable()
