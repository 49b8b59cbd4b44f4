"""Memory: refusing work that cannot fit before the system kills it, and saying which size would fit."""

from __future__ import annotations

import ctypes
import gc
import math
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import torch

from cnnviz.errors import MemoryShortError
from cnnviz.runtime.cancellation import check_cancelled

_SMALL_PIXELS = 1 << 20
"""Pictures up to this many pixels are not worth an estimate: every network takes them in some 2 GiB."""

_BYTES_PER_PIXEL = 3 * 4 * 3
"""Of a picture in float32, in two sizes, and of what it is made of."""

_BYTES_PER_ACTIVATION = 8
"""A float32 activation, and its gradient or a workspace of the same size."""

_AT_ONCE = {"cpu": 8, "cuda": 64}
"""Pictures of a network's own size that are worth a pass forward and back together: more gain nothing."""

_TOGETHER = 4
"""Pictures that share a pass on one processor: more gain nothing."""

_TOGETHER_BYTES = 256 << 20
"""Of their activations; beyond, what a shared pass saves is lost again in memory."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""Of malloc.h."""

Value = TypeVar("Value")


class SupportsActivationCount(Protocol):
    """What the estimate needs to know of a network."""

    @property
    def device(self) -> torch.device: ...

    def activation_count(self, size: tuple[int, int]) -> int:
        """Values in all feature maps together, for one picture of ``size`` (height, width)."""
        ...


def available_memory(device: torch.device) -> int | None:
    """Bytes free for new tensors on ``device``; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return None
    found = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text(encoding="ascii"))
    return int(found[1]) * 1024 if found else None


def activation_bytes(network: SupportsActivationCount, size: tuple[int, int]) -> int:
    """Bytes that a pass forward and back over one picture of ``size`` (height, width) takes."""
    return network.activation_count(size) * _BYTES_PER_ACTIVATION


def require_memory(network: SupportsActivationCount, size: tuple[int, int]) -> None:
    """Raise MemoryShortError if a pass forward and back over one picture cannot fit in memory.

    ``size`` is the picture's (height, width); the message says which shorter side would fit.
    """
    height, width = size
    if height * width <= _SMALL_PIXELS:
        return
    available = available_memory(network.device)
    needed = activation_bytes(network, (height, width))
    if available is None or needed <= available:
        return
    fitting = int(min(height, width) * math.sqrt(available / needed) * 0.95)
    raise MemoryShortError(
        f"A picture of {width}×{height} pixels needs about {needed / 2**30:.1f} GiB in this network and "
        f"{available / 2**30:.1f} GiB are free; --size {fitting} would fit."
    )


def require_memory_for_pixels(size: tuple[int, int], device: torch.device) -> None:
    """Raise MemoryShortError if the pixels alone of a picture of ``size`` (height, width) cannot fit in memory."""
    needed, available = size[0] * size[1] * _BYTES_PER_PIXEL, available_memory(device)
    if needed <= _SMALL_PIXELS * _BYTES_PER_PIXEL or available is None or needed <= available:
        return
    fitting = int(min(size) * math.sqrt(available / needed) * 0.95)
    raise MemoryShortError(
        f"A picture of {size[1]}×{size[0]} pixels needs about {needed / 2**30:.1f} GiB and "
        f"{available / 2**30:.1f} GiB are free; --size {fitting} would fit."
    )


@contextmanager
def translate_memory_errors(size: int) -> Iterator[None]:
    """Turn an allocator's failure inside the block into MemoryShortError with a smaller ``--size`` to try."""
    try:
        yield
    except MemoryShortError:
        raise
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryShortError(f"Out of memory at --size {size}; try --size {max(1, size // 2)}.") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that an allocation failed, on whatever device."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def max_batch_size(size: tuple[int, int], side: int, device: torch.device) -> int:
    """How many pictures of ``size`` (height, width) to run forward and back together in a network of square ``side``.

    Together they have no more pixels than a full batch at up to twice the network's own area, so that memory does not
    grow with the size. The free memory has no say: the last bits of a result follow the batch, and are to be the same
    tomorrow.
    """
    most = _AT_ONCE["cuda" if device.type == "cuda" else "cpu"]
    return max(1, min(most, most * 2 * side * side // (size[0] * size[1])))


def small_batch_size(network: SupportsActivationCount, side: int) -> int:
    """How many pictures ``side`` pixels high and wide share a pass through ``network`` on one processor of a CPU.

    What one operation after another costs besides its arithmetic is then shared too: a fifth of SqueezeNet's time. In
    large networks it does not show, and only memory would grow.
    """
    return max(1, min(_TOGETHER, _TOGETHER_BYTES // activation_bytes(network, (side, side))))


def in_batches_that_fit(run: Callable[[slice], Value], count: int, batch: int) -> Iterator[Value]:
    """``run`` over ``count`` items, ``batch`` at a time; half as many from where memory does not suffice for so many.

    ``run`` is called with which items are meant, and again with fewer of the same if an allocation failed in it: what
    it changes, it must change last. The error of a single item that does not fit is raised.
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
        release_memory()  # only here: the error held the failed pass's tensors


def release_memory() -> None:
    """Give back what no tensor needs any more, so that a smaller try finds it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def trim_malloc(device: torch.device) -> None:
    """Give blocks that are free back to the system, where the C library can.

    For between two phases of a work whose blocks have other sizes: those of the first, kept, would not serve the
    second.
    """
    if device.type == "cpu":
        _glibc("malloc_trim", 0)


def use_single_arena(device: torch.device) -> None:
    """Let all threads take their blocks from one heap, which gives nothing back before half a gibibyte is free.

    For several threads that take turns at the same work. By itself glibc gives each a heap of its own, and fetches the
    pages of a pass anew whenever it comes to a thread that has not done one yet.
    """
    if device.type == "cpu":
        _glibc("mallopt", _M_ARENA_MAX, 1)
        _glibc("mallopt", _M_MMAP_THRESHOLD, 32 << 20)  # the largest it takes
        _glibc("mallopt", _M_TRIM_THRESHOLD, 512 << 20)


def _glibc(name: str, *values: int) -> None:
    """Call a function that only glibc has; nothing where there is none."""
    if sys.platform == "linux":
        function = getattr(ctypes.CDLL(None), name, None)
        if function is not None:
            function(*values)


def tune_malloc(device: torch.device) -> None:
    """Let the C library reuse freed blocks of up to 31 MiB rather than give each back to the system.

    glibc learns so from the largest block it has seen freed. Fetching the pages anew for each operation takes
    up to half of the time. The block itself is never touched and so takes no memory.
    """
    if device.type == "cpu":
        torch.empty(31 << 20, dtype=torch.uint8)
