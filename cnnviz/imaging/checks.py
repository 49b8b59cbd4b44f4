"""Checks of pixels given by the caller: a float tensor (N, C, H, W) in [0, 1], or an error that says what to do."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from cnnviz.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_RGB = 3
_HALF_A_LEVEL = 0.5 / 255
"""A value this far outside [0, 1] is still rounded to black or white in eight bits."""

_PACKAGE = str(Path(__file__).parents[1]) + os.sep


def require_pixels(pixels: object, channels: int = _RGB) -> Tensor:
    """``pixels`` as float32 or float64, checked to be floats of the shape (N, ``channels``, H, W).

    Where one channel is wanted, RGB will do, too: a network makes it gray. A tensor made in inference mode is copied,
    since autograd refuses it.

    Raises UsageError that says what to do with PIL images, NumPy arrays, integers, paths, and other shapes.
    """
    import torch

    if not isinstance(pixels, torch.Tensor):
        raise UsageError(f"{_wanted(channels)}, not {_named(pixels)}: {_remedy(pixels, channels)}.")
    if not pixels.is_floating_point():
        kind = str(pixels.dtype).removeprefix("torch.")
        last = " of the channels last" if _ends_in_channels(pixels.shape, channels) else ""
        axes = "pixels.permute(2, 0, 1)[None] / 255" if last and pixels.ndim == 3 else "pixels / 255"
        raise UsageError(f"{_wanted(channels)}, not of the type {kind}{last}: {axes} converts bytes.")
    if pixels.ndim != 4 or pixels.shape[1] not in _accepted(channels) or 0 in pixels.shape[2:]:
        raise UsageError(f"{_wanted(channels)}, not of the shape {tuple(pixels.shape)}{_advice(pixels, channels)}.")
    found = pixels if pixels.dtype in (torch.float32, torch.float64) else pixels.float()
    return found.clone() if found.is_inference() else found


def differentiable(pixels: object, device: torch.device | str, channels: int = _RGB) -> Tensor:
    """``pixels`` checked by ``require_pixels``, on ``device``, as a leaf tensor that requires a gradient.

    To be called within ``gradients()``.
    """
    return require_pixels(pixels, channels).detach().to(device).requires_grad_()


@contextmanager
def gradients() -> Iterator[None]:
    """Enable autograd inside the block, also where the caller is in ``no_grad`` or ``inference_mode``."""
    import torch

    with torch.inference_mode(False), torch.enable_grad():
        yield


def require_in_range(pixels: object, channels: int = _RGB) -> Tensor:
    """``pixels`` checked by ``require_pixels`` and to be in [0, 1], to half a level of eight bits.

    For functions that change pixels, where values outside would be cut off. Raises UsageError.
    """
    found = require_pixels(pixels, channels)
    outside = _outside(found)
    if outside:
        raise UsageError(outside)
    return found


def warn_if_out_of_range(pixels: Tensor) -> None:
    """Issue a UserWarning, for the caller's line, if ``pixels`` are not in [0, 1]; UsageError if one is not finite."""
    outside = _outside(pixels)
    if outside:
        warnings.warn(f"{outside} The network gets them as they are.", stacklevel=_levels_to_caller())


def range_problem(low: float, high: float, whose: str = "Pixels") -> str | None:
    """A sentence about values from ``low`` to ``high`` if they are not in [0, 1], to half a level of eight bits."""
    if low >= -_HALF_A_LEVEL and high <= 1 + _HALF_A_LEVEL:
        return None
    remedy = "divide bytes by 255" if low >= 0 and high > 2 else "give them as they are, not normalized"
    return f"{whose} must be in [0, 1], not from {low:.3g} to {high:.3g}: {remedy}."


def _outside(pixels: Tensor) -> str | None:
    if pixels.numel() == 0 or pixels.is_meta or is_functorch_active():
        return None
    low, high = (float(value) for value in pixels.detach().aminmax())
    if not (abs(low) < float("inf") and abs(high) < float("inf")):
        raise UsageError("The pixels hold NaN or infinite values.")
    return range_problem(low, high)


def is_functorch_active() -> bool:
    """Whether a ``torch.func`` transform is running, under which tensors have no values to look at."""
    import torch

    functorch = getattr(torch._C, "_functorch", None)
    return functorch is not None and functorch.peek_interpreter_stack() is not None


def _accepted(channels: int) -> tuple[int, ...]:
    """The numbers of channels that do where ``channels`` are wanted."""
    return (1, _RGB) if channels == 1 else (channels,)


def _wanted(channels: int) -> str:
    shapes = " or ".join(f"(N, {count}, H, W)" for count in _accepted(channels))
    return f"Pixels are a float tensor {shapes} in [0, 1]"


def _named(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"a NumPy array of the type {value.dtype} and the shape {value.shape}"
    return "a PIL image" if isinstance(value, Image.Image) else f"a {type(value).__name__}"


def _remedy(value: Any, channels: int) -> str:
    if isinstance(value, Image.Image):
        return "cnnviz.imaging.pixels.to_pixels(image) converts it"
    if isinstance(value, np.ndarray):
        if value.ndim == 4:
            axes = ".permute(0, 3, 1, 2)" if _ends_in_channels(value.shape, channels) else ""
        else:
            axes = ".permute(2, 0, 1)[None]" if _ends_in_channels(value.shape, channels) else "[None]"
        scale = "" if value.dtype.kind == "f" else " / 255"
        return f"torch.from_numpy(a){axes}{scale} converts it, and cnnviz.read_image(path) reads a file"
    if isinstance(value, str | os.PathLike):
        return "cnnviz.read_image(path) reads the file"
    return "cnnviz.read_image(path) reads a file; torch.cat joins several images"


def _advice(pixels: Tensor, channels: int) -> str:
    shape, accepted = pixels.shape, _accepted(channels)
    if len(shape) == 3 and shape[0] in accepted:
        return ": pixels[None] adds the first axis"
    if len(shape) == 3 and shape[2] in accepted:
        return ": pixels.permute(2, 0, 1)[None] puts the channels first"
    if len(shape) == 4 and shape[3] in accepted:
        return ": pixels.permute(0, 3, 1, 2) puts the channels second"
    if len(shape) == 4 and shape[1] == 1 and channels == _RGB:
        return ": pixels.expand(-1, 3, -1, -1) makes gray images RGB"
    if len(shape) == 4 and shape[1] not in accepted:
        return f": they have {_count(shape[1])}, and {_count(channels)} {'is' if channels == 1 else 'are'} wanted"
    return ""


def _count(channels: int) -> str:
    return f"{channels} channel{'' if channels == 1 else 's'}"


def _ends_in_channels(shape: Any, channels: int) -> bool:
    return len(shape) >= 3 and shape[-1] in _accepted(channels)


def _levels_to_caller() -> int:
    """The ``stacklevel`` of the nearest line outside of this package and torch, for ``warn_if_out_of_range``."""
    import torch

    passed = _PACKAGE, str(Path(torch.__file__).parent) + os.sep
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(passed):
        frame, level = frame.f_back, level + 1
    return level
