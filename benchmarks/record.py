"""What was measured on a machine, kept as JSON under ``benchmarks/results/``."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.row import Row
from benchmarks.timing import machine

if TYPE_CHECKING:
    import torch

RESULTS = Path(__file__).with_name("results")


@dataclass
class Record:
    """One machine's figures.

    ``machine``: what it is, in words; ``peaks``: GFLOP/s by operation and precision; ``rows``: by topic; ``torch``:
    the version each topic was measured with.
    """

    machine: str
    peaks: dict[str, float] = field(default_factory=dict)
    rows: dict[str, list[Row]] = field(default_factory=dict)
    torch: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """Where it is kept: a file with the machine's name."""
        return RESULTS / f"{re.sub('[^a-z0-9]+', '-', self.machine.lower()).strip('-')}.json"

    def add(self, topic: str, rows: Sequence[Row]) -> None:
        """Take a topic's rows for those that were there before."""
        import torch

        self.rows[topic], self.torch[topic] = list(rows), torch.__version__.partition("+")[0]

    def write(self, path: Path) -> None:
        """Keep it as JSON, a row a line."""
        path.parent.mkdir(parents=True, exist_ok=True)
        peaks = {name: round(value, 1) for name, value in self.peaks.items()}
        topics = {name: {"torch": self.torch[name], "rows": self.rows[name]} for name in sorted(self.rows)}
        lines = [
            "{",
            f' "machine": {_json(self.machine)},',
            f' "peaks": {_json(peaks)},',
            ' "topics": {',
            ",\n".join(_topic(name, topic) for name, topic in topics.items()),
            " }",
            "}\n",
        ]
        path.write_text("\n".join(lines), encoding="utf-8")

    def write_into(self, path: Path) -> None:
        """Keep it beside what is in the file already, if that is of this machine.

        Peaks are the highest ever measured: those of a busy moment would make the shares of other rows too large.
        """
        there = Record.read(path) if path.exists() else self
        if there.machine != self.machine:
            there = self
        peaks = {
            name: max(found.get(name, 0.0) for found in (there.peaks, self.peaks))
            for name in {**there.peaks, **self.peaks}
        }
        Record(self.machine, peaks, {**there.rows, **self.rows}, {**there.torch, **self.torch}).write(path)

    @staticmethod
    def read(path: Path) -> Record:
        """The inverse of ``write``."""
        data = json.loads(path.read_text(encoding="utf-8"))
        topics = data["topics"]
        rows = {name: [Row.from_json(row) for row in topic["rows"]] for name, topic in topics.items()}
        return Record(data["machine"], data["peaks"], rows, {name: topic["torch"] for name, topic in topics.items()})


def describe(device: torch.device) -> str:
    """The machine in words: its processor and cores, or its GPU."""
    if device.type != "cuda":
        return machine()
    import torch

    return f"{torch.cuda.get_device_name(device)}, {os.cpu_count()} cores beside it"


def kept() -> list[Record]:
    """All machines' records, in the order of their names."""
    return [Record.read(path) for path in sorted(RESULTS.glob("*.json"))]


def _topic(name: str, topic: Mapping[str, Any]) -> str:
    rows = ",\n".join(f"   {_json(row.to_json())}" for row in topic["rows"])
    return f'  {_json(name)}: {{"torch": {_json(topic["torch"])}, "rows": [\n{rows}\n  ]}}'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
