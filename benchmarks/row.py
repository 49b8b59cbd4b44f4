"""What a benchmark finds, as data: a row for each case, ours beside a named peer's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

SECONDS = {"s": 1.0, "ms": 1e-3}
"""Units of time, in seconds."""


@dataclass(frozen=True)
class Row:
    """One case. What is measured is a cost: less is better, and a ratio above 1 is in our favour.

    ``ours`` and ``peer`` are in ``unit``; ``against`` names the peer; ``operations`` is how many floating-point
    operations ours is (a multiply-add is two), for its share of the machine's peak at ``precision``; ``memory`` and
    ``peer_memory`` are peaks in MiB beyond what was loaded; ``more`` holds further figures of the case by name.
    """

    case: str
    ours: float | None = None
    unit: str = "s"
    peer: float | None = None
    against: str | None = None
    operations: float | None = None
    precision: str = "fp32"
    memory: float | None = None
    peer_memory: float | None = None
    more: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """How many times ours the peer's cost is."""
        return self.peer / self.ours if self.peer is not None and self.ours else None

    def share(self, peaks: Mapping[str, float]) -> float | None:
        """Operations per second as a share of the best that the machine was seen to do at this precision.

        ``peaks``: GFLOP/s by what was measured, as ``convolution fp32``.
        """
        reached = [value for name, value in peaks.items() if name.endswith(self.precision)]
        if self.operations is None or not self.ours or not reached:
            return None
        return self.operations / (self.ours * SECONDS[self.unit]) / (max(reached) * 1e9)

    def to_json(self) -> dict[str, Any]:
        """What differs from the defaults, figures to four digits."""
        empty = asdict(Row(""))
        return {name: _short(value) for name, value in asdict(self).items() if name == "case" or value != empty[name]}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Row:
        """The inverse of ``to_json``."""
        return Row(**data)


def _short(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _short(inner) for name, inner in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value
