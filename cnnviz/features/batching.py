"""Batches of images of equal size, read ahead of their use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

from cnnviz.runtime.prefetch import prefetch

Item = TypeVar("Item")


class Batches(Generic[Item]):
    """Groups images of equal size into batches, whatever order they come in.

    At most ``4 * size`` images wait; then the fullest batch is given early, so that a thousand different sizes do not
    fill the memory.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: dict[tuple[int, ...], list[tuple[Item, Tensor]]] = {}

    def add(self, item: Item, pixels: Tensor) -> Iterator[tuple[list[Item], Tensor]]:
        """Take one image (1, 3, H, W); yields the batch that is full, if any."""
        group = self._waiting.setdefault(tuple(pixels.shape), [])
        group.append((item, pixels))
        if len(group) == self._size:
            yield self._take(tuple(pixels.shape))
        elif sum(map(len, self._waiting.values())) >= 4 * self._size:
            yield self._take(max(self._waiting, key=lambda shape: len(self._waiting[shape])))

    def rest(self) -> Iterator[tuple[list[Item], Tensor]]:
        """The batches that are not full."""
        while self._waiting:
            yield self._take(next(iter(self._waiting)))

    def _take(self, shape: tuple[int, ...]) -> tuple[list[Item], Tensor]:
        group = self._waiting.pop(shape)
        return [item for item, _ in group], torch.cat([pixels for _, pixels in group])


def batches_of(
    items: Iterable[Item],
    read: Callable[[Item], Tensor],
    on_error: Callable[[Item, Exception], None],
    size: int,
    workers: int = 2,
) -> Iterator[tuple[list[Item], Tensor]]:
    """Batches of items with their pixels (N, 3, H, W), read by threads ahead of their use.

    Args:
        items: what to read.
        read: from an item to its pixels (1, 3, H, W); called in threads.
        on_error: called with an item and the exception that ``read`` raised; may raise to stop. The item is left out.
        size: N, the largest number of images in a batch; all of one batch have one shape.
        workers: the number of threads.
    """
    batches: Batches[Item] = Batches(size)
    for item, result in prefetch(read, items, workers, ahead=2 * size):
        try:
            pixels = result()
        except Exception as error:
            on_error(item, error)
            continue
        yield from batches.add(item, pixels)
    yield from batches.rest()


def chunks(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """``keys`` in slices of ``size``."""
    for start in range(0, len(keys), size):
        yield keys[start : start + size]
