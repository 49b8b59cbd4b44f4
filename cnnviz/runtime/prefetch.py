"""Prefetching: the next images are decoded, and copied to the GPU, while the network works on the current ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Item = TypeVar("Item")
Value = TypeVar("Value")


def prefetch(
    function: Callable[[Item], Value], items: Iterable[Item], workers: int = 2, ahead: int = 16
) -> Iterator[tuple[Item, Callable[[], Value]]]:
    """Each item, in order, with a function that returns (or raises) the result of ``function(item)``.

    Results are computed in threads, at most ``ahead`` of them in advance, so that memory does not grow with the number
    of items.
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


def copied_ahead(batches: Iterable[tuple[Item, Tensor]], device: torch.device) -> Iterator[tuple[Item, Tensor]]:
    """Each item with its pixels on ``device``; on CUDA the next batch is copied while the current one is in use.

    Copies go through pinned memory in their own CUDA stream, so that neither Python nor the network waits for them.
    """
    import torch

    if device.type != "cuda":
        for item, pixels in batches:
            yield item, pixels.to(device)
        return
    copying = torch.cuda.Stream(device)

    def copy(pixels: Tensor) -> tuple[Tensor, torch.cuda.Event]:
        with torch.cuda.stream(copying):
            return pixels.pin_memory().to(device, non_blocking=True), copying.record_event()

    def arrived(pixels: Tensor, copied: torch.cuda.Event) -> Tensor:
        computing = torch.cuda.current_stream(device)
        computing.wait_event(copied)  # orders the work on the GPU, without waiting here
        pixels.record_stream(computing)  # its memory is not reused before that work is done
        return pixels

    waiting: deque[tuple[Item, tuple[Tensor, torch.cuda.Event]]] = deque()
    for item, pixels in batches:
        waiting.append((item, copy(pixels)))
        if len(waiting) > 1:
            due, copy_of_it = waiting.popleft()
            yield due, arrived(*copy_of_it)
    for due, copy_of_it in waiting:
        yield due, arrived(*copy_of_it)
