"""Thread pool whose running calls can be cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TypeVar

from cnnviz.runtime.cancellation import Cancelled, cancellable, check_cancelled

Value = TypeVar("Value")


class CancellablePool:
    """``count`` compute threads; ``pool(function)``, called from another thread, waits and returns the value."""

    def __init__(self, count: int) -> None:
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="compute")
        self._cancelled = threading.Event()

    def __call__(self, function: Callable[[], Value]) -> Value:
        """The value of ``function``, computed in one of the threads; raises Cancelled once the pool is cancelled."""
        try:
            return self._threads.submit(self._run, function).result()
        except (CancelledError, RuntimeError) as error:
            if self._cancelled.is_set():
                raise Cancelled from error
            raise

    def _run(self, function: Callable[[], Value]) -> Value:
        with cancellable(self._cancelled):
            check_cancelled()
            return function()

    def cancel(self) -> None:
        """Cancel all calls and wait for the threads to end: at the latest when the pass each is in is over."""
        self._cancelled.set()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def close(self) -> None:
        """Wait for the calls in progress, and end the threads."""
        self._threads.shutdown(wait=True)


class InlinePool:
    """A pool with the interface of ``CancellablePool`` that works in the calling thread."""

    def __call__(self, function: Callable[[], Value]) -> Value:
        return function()
