"""Calls that wait for something else, in threads of their own, while the calling thread can be interrupted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from cnnviz.runtime.cancellation import cancellable, check_cancelled

Value = TypeVar("Value")

_WAKE_UP = 0.1  # seconds


def call_together(calls: Sequence[Callable[[], Value]], most: int, slots: threading.Semaphore) -> list[Value]:
    """The values of ``calls``, made ``most`` at the same time as far as ``slots`` are free.

    Signals reach the main thread only, so that a call never ends halfway: if one of them raises, or this thread is
    interrupted or cancelled, the others see that they are cancelled (``check_cancelled``), and have ended on return.
    """
    stop = threading.Event()
    pool = ThreadPoolExecutor(min(most, len(calls)), thread_name_prefix="call")
    try:
        futures = [pool.submit(_in_a_slot, call, slots, stop) for call in calls]
        pending: set[Future[Value]] = set(futures)
        while pending:
            done, pending = wait(pending, timeout=_WAKE_UP, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            check_cancelled()
        return [future.result() for future in futures]
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _in_a_slot(call: Callable[[], Value], slots: threading.Semaphore, stop: threading.Event) -> Value:
    with cancellable(stop):
        while not slots.acquire(timeout=_WAKE_UP):
            check_cancelled()
        try:
            check_cancelled()
            return call()
        finally:
            slots.release()
