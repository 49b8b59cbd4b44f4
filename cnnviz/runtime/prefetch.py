"""Reading ahead: the next pictures are decoded while the network works on these."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")


def prefetch(
    function: Callable[[Item], Value], items: Iterable[Item], workers: int = 2, ahead: int = 16
) -> Iterator[tuple[Item, Callable[[], Value]]]:
    """Each item, in order, with what gives ``function(item)``, or raises what it raised; worked out in threads.

    At most ``ahead`` results wait at any time, so that memory does not grow with the number of items. Decoding
    releases Python's lock, so threads serve.
    """
    remaining = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="prefetch") as pool:
        waiting: deque[tuple[Item, Future[Value]]] = deque()
        try:
            while True:
                waiting.extend((item, pool.submit(function, item)) for item in islice(remaining, ahead - len(waiting)))
                if not waiting:
                    return
                item, future = waiting.popleft()
                yield item, future.result
        finally:
            for _, future in waiting:
                future.cancel()
