"""Threads in which networks compute: so many at once, each to be broken off between two operations."""

from __future__ import annotations

import ctypes
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Value = TypeVar("Value")


_LOOK = 0.01  # seconds between two looks at what still computes
_LOOKS = 100  # of them between two attempts to break it off


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
        main thread; and again where that took no effect, for one raised while Python clears up garbage is passed over.
        """
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._stopped = True
        for look in itertools.count():
            if not self._break_off(once_more=look % _LOOKS == 0):
                break
            time.sleep(_LOOK)  # in a condition's wait, Ctrl-C would have its lock released twice
        self._threads.shutdown(wait=True)

    def _break_off(self, once_more: bool) -> bool:
        """Whether any thread still computes; ``once_more`` raises ``Stopped`` in those that do."""
        with self._lock:
            self._busy &= {thread.ident for thread in threading.enumerate()}
            for thread in self._busy if once_more else ():
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Stopped))
            return bool(self._busy)

    def close(self) -> None:
        """Let what computes come to its end, and end the threads."""
        self._threads.shutdown(wait=True)


class NoLanes:
    """In their place where everything is done in the calling thread."""

    def __call__(self, function: Callable[[], Value]) -> Value:
        return function()
