"""Memory: estimates that refuse work that cannot fit, batches that do fit, and errors that name a size that would."""

from __future__ import annotations

import gc
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import torch

from cnnviz.errors import MemoryShortError
from cnnviz.runtime.cancellation import check_cancelled

_SMALL_PIXELS = 1 << 20
"""Photos up to this many pixels are not estimated: every network takes them in about 2 GiB."""

_BYTES_PER_VALUE = 4 * 3
"""Bytes for each value of an image, held three times in float32: at two sizes, and as the result."""

_BYTES_PER_ACTIVATION = 8
"""A float32 activation, and its gradient or a workspace of the same size."""

_MAX_BATCH = {"cpu": 8, "cuda": 64}
"""Images of the network's own size in a forward and backward pass; larger batches are no faster."""

_SMALL_BATCH = 4
"""Images that share a pass on one CPU core; larger batches are no faster."""

_SMALL_BATCH_BYTES = 256 << 20
"""Activations of such a batch; beyond that, memory traffic costs what the shared pass saves."""

Value = TypeVar("Value")


class SupportsActivationCount(Protocol):
    """A network that can count its activations."""

    @property
    def device(self) -> torch.device: ...

    def activation_count(self, size: tuple[int, int]) -> int:
        """Number of values in all feature maps together, for one image of ``size`` (height, width)."""
        ...

    @property
    def derived_bytes(self) -> int:
        """Bytes that weights take in forms that are made for the first image."""
        ...


def available_memory(device: torch.device) -> int | None:
    """Bytes free for new tensors on ``device``; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return None
    found = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text(encoding="ascii"))
    return int(found[1]) * 1024 if found else None


def activation_bytes(network: SupportsActivationCount, size: tuple[int, int]) -> int:
    """Bytes needed for a forward and backward pass over one image of ``size`` (height, width)."""
    return network.activation_count(size) * _BYTES_PER_ACTIVATION


def require_memory(network: SupportsActivationCount, size: tuple[int, int], channels: int = 3) -> None:
    """Raise MemoryShortError if a forward and backward pass over one image of ``size`` (height, width) cannot fit.

    The message names a shorter side that would fit.
    """
    if not _is_small(size, channels):
        _require(activation_bytes(network, size) + network.derived_bytes, size, network.device, " in this network")


def require_memory_for_pixels(size: tuple[int, int], device: torch.device, channels: int = 3) -> None:
    """Raise MemoryShortError if the pixels alone of an image of ``size`` (height, width) cannot fit."""
    if not _is_small(size, channels):
        _require(size[0] * size[1] * channels * _BYTES_PER_VALUE, size, device)


def _is_small(size: tuple[int, int], channels: int) -> bool:
    return size[0] * size[1] * max(channels, 3) <= 3 * _SMALL_PIXELS


def _require(needed: int, size: tuple[int, int], device: torch.device, where: str = "") -> None:
    available = available_memory(device)
    if available is None or needed <= available:
        return
    fitting = int(min(size) * math.sqrt(available / needed) * 0.95)
    raise MemoryShortError(
        f"An image of {size[1]}×{size[0]} pixels needs about {needed / 2**30:.1f} GiB{where} and "
        f"{available / 2**30:.1f} GiB are free; a shorter side of {fitting} pixels would fit.",
        remedy="smaller_size",
        size=fitting,
    )


@contextmanager
def translate_memory_errors(size: int) -> Iterator[None]:
    """Turns an allocator's failure inside the block into MemoryShortError.

    ``size`` is the image's shorter side in pixels; half of it is what the error's hint suggests.
    """
    try:
        yield
    except MemoryShortError:
        raise
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        message = f"Out of memory with a shorter side of {size} pixels."
        raise MemoryShortError(message, remedy="smaller_size", size=max(1, size // 2)) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that an allocation failed, on any device."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def max_batch_size(size: tuple[int, int], side: int, device: torch.device) -> int:
    """Images of ``size`` (height, width) in one forward and backward pass of a network made for ``side`` pixels.

    A batch has no more pixels than a full one at up to twice the network's own area, so that memory does not grow
    with the size. It does not depend on the free memory: the last bits of a result depend on the batch, and should
    be the same tomorrow.
    """
    most = _MAX_BATCH["cuda" if device.type == "cuda" else "cpu"]
    return max(1, min(most, most * 2 * side * side // (size[0] * size[1])))


def small_batch_size(network: SupportsActivationCount, side: int) -> int:
    """Images of ``side`` × ``side`` pixels that share a pass through ``network`` on one CPU core.

    They share what each operation costs besides its arithmetic: a fifth of SqueezeNet's time. In large networks there
    is no gain, and only memory would grow.
    """
    return max(1, min(_SMALL_BATCH, _SMALL_BATCH_BYTES // activation_bytes(network, (side, side))))


def in_batches_that_fit(run: Callable[[slice], Value], count: int, batch: int) -> Iterator[Value]:
    """The values of ``run`` over ``count`` items, ``batch`` at a time, or fewer where memory runs out.

    ``run`` is called with the slice of items to do. If an allocation fails in it, it is called again with half of
    them, so it must change its own state last. The error is raised if even a single item does not fit.
    """
    start, batch = 0, max(1, batch)
    while start < count:
        check_cancelled()
        part = slice(start, min(start + batch, count))
        try:
            value = run(part)
        except (MemoryError, RuntimeError) as error:
            if part.stop - start == 1 or not is_out_of_memory(error):
                raise
            batch = (part.stop - start) // 2
        else:
            yield value
            start = part.stop
            continue
        release_memory()  # only here, since the error held the failed pass's tensors


def release_memory() -> None:
    """Free what no tensor uses any more, so that a smaller batch can have it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
