"""Threads in which networks compute: so many at once, each to be broken off between two operations."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Value = TypeVar("Value")


class Stopped(BaseException):
    """Raised in a lane whose work is no longer wanted; like KeyboardInterrupt, nothing should catch it."""


class Lanes:
    """``count`` threads that compute, while those that call them read and write.

    A task computes in ``lanes(function)``, which waits for its turn and gives what ``function`` gives.
    """

    def __init__(self, count: int) -> None:
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="lane")
        self._lock = threading.Lock()
        self._busy: set[int] = set()
        self._stopped = False

    def __call__(self, function: Callable[[], Value]) -> Value:
        return self._threads.submit(self._run, function).result()

    def _run(self, function: Callable[[], Value]) -> Value:
        me = threading.get_ident()
        with self._lock:
            if self._stopped:
                raise Stopped
            self._busy.add(me)
        try:
            return function()
        finally:
            with self._lock:  # from here on ``stop`` leaves this thread alone
                self._busy.discard(me)

    def stop(self) -> None:
        """Break off what computes, refuse what would, and wait until the threads have ended.

        The exception is raised in a thread as soon as it is back from the operation it is in, as Ctrl-C is in the
        main thread.
        """
        with self._lock:
            self._stopped = True
            for thread in self._busy:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Stopped))
        self._threads.shutdown(wait=True, cancel_futures=True)

    def close(self) -> None:
        """Let what computes come to its end, and end the threads."""
        self._threads.shutdown(wait=True)


class NoLanes:
    """In their place where everything is done in the calling thread."""

    def __call__(self, function: Callable[[], Value]) -> Value:
        return function()
