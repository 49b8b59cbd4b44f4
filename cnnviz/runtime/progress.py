"""How a long job reports: one callback, on which progress bars, previews and tests hang alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class LazyFloats(Mapping[str, float]):
    """Named figures that become numbers when they are read.

    A figure may still be on its way on a GPU; who reads it waits, and who does not, does not.
    """

    def __init__(self, values: Mapping[str, Tensor | float]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> float:
        return float(self._values[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True)
class Step:
    """One step of a long job.

    ``step`` counts from 1 to ``total``; ``terms`` names the parts of the loss, if there is one; ``image()`` gives
    the pixels so far (1, 3, H, W) in [0, 1] and costs nothing unless called; None where there is no picture yet.
    """

    step: int
    total: int
    terms: Mapping[str, float] = field(default_factory=dict)
    image: Callable[[], Tensor] | None = None


OnStep = Callable[[Step], None]
"""What a long job calls after every step."""
