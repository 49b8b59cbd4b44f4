"""Cancellation of a computation that runs in another thread: it looks at a flag between passes and between steps."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_this_thread = threading.local()


class Cancelled(BaseException):
    """The computation of this thread was cancelled; like KeyboardInterrupt, no Exception."""


@contextmanager
def cancellable(flag: threading.Event) -> Iterator[None]:
    """A block in which ``check_cancelled`` raises Cancelled once ``flag`` is set, in this thread."""
    outer = getattr(_this_thread, "flag", None)
    _this_thread.flag = flag
    try:
        yield
    finally:
        _this_thread.flag = outer


def check_cancelled() -> None:
    """Raise Cancelled if this thread's computation was cancelled. Takes well under a microsecond.

    Called before every pass through a network, and after every step of an optimization.
    """
    flag = getattr(_this_thread, "flag", None)
    if flag is not None and flag.is_set():
        raise Cancelled
