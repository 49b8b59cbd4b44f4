"""Going once through many pictures: read ahead, batch what has one size, and hand on what was computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

from cnnviz.runtime.prefetch import prefetch

Item = TypeVar("Item")


class Batches(Generic[Item]):
    """Gathers pictures of one size into batches, whatever order they come in.

    At most ``4 * size`` pictures wait; then the fullest batch goes early, so that a thousand different sizes do not
    fill the memory.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: dict[tuple[int, ...], list[tuple[Item, Tensor]]] = {}

    def add(self, item: Item, pixels: Tensor) -> Iterator[tuple[list[Item], Tensor]]:
        """Take one picture (1, 3, H, W); gives the batch that is due, if one is."""
        group = self._waiting.setdefault(tuple(pixels.shape), [])
        group.append((item, pixels))
        if len(group) == self._size:
            yield self._take(tuple(pixels.shape))
        elif sum(map(len, self._waiting.values())) >= 4 * self._size:
            yield self._take(max(self._waiting, key=lambda shape: len(self._waiting[shape])))

    def rest(self) -> Iterator[tuple[list[Item], Tensor]]:
        """The batches that never filled."""
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
    """Items with their pixels (N, 3, H, W), pictures of one shape together, read by threads ahead of their use.

    An item that ``read`` cannot give is passed to ``on_error``, which may raise to stop, and left out.
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
    """``keys`` in pieces of ``size``."""
    for start in range(0, len(keys), size):
        yield keys[start : start + size]
