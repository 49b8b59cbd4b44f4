"""Progress of a long computation: one callback for progress bars, previews and tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class LazyFloats(Mapping[str, float]):
    """Named numbers that are read from their tensors on access.

    A value may still be being computed on a GPU; only reading it waits.
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
    """One step of a long computation.

    ``step`` counts from 1 to ``total``; ``terms`` are the named terms of the loss, if there is one; ``image()``
    returns the current pixels (1, 3, H, W) in [0, 1], computed when called; None where there is no image yet.
    """

    step: int
    total: int
    terms: Mapping[str, float] = field(default_factory=dict)
    image: Callable[[], Tensor] | None = None


OnStep = Callable[[Step], None]
"""Called after every step."""
