"""glibc's malloc: settings for a program that computes with networks. Does nothing with other C libraries.

``tune_malloc`` changes the whole process, so only programs call it, when they start; no library function does.
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # from malloc.h


def tune_malloc() -> None:
    """Use one malloc arena for all threads, and keep up to 512 MiB of freed memory for reuse.

    By default glibc returns large blocks to the system at once, and fetching their pages again for each operation
    takes up to half of the time. With an arena for each thread, pages are fetched again whenever a pass runs in a
    thread that has not done one yet.
    """
    _glibc("mallopt", _M_ARENA_MAX, 1)
    _glibc("mallopt", _M_MMAP_THRESHOLD, 32 << 20)  # the maximum it accepts
    _glibc("mallopt", _M_TRIM_THRESHOLD, 512 << 20)


def trim_malloc() -> None:
    """Return free blocks to the system; no setting changes.

    For use between two phases of a computation, when blocks kept from the first have the wrong sizes for the second.
    """
    _glibc("malloc_trim", 0)


def _glibc(name: str, *values: int) -> None:
    if sys.platform == "linux":
        function = getattr(ctypes.CDLL(None), name, None)
        if function is not None:
            function(*values)
