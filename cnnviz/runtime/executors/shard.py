"""One of N parts of a list, so that each of N machines can take its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from cnnviz.errors import UsageError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Shard:
    """The ``index``-th (from 1) of ``count`` parts."""

    index: int = 1
    count: int = 1

    @staticmethod
    def parse(text: str) -> Shard:
        """The shard that ``text`` names: ``2/4`` is the second of four. UsageError for anything else."""
        found = re.fullmatch(r"\s*([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*", text)
        index, count = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= index <= count:
            raise UsageError(f"A shard is I/N with I from 1 to N, not '{text}'.", remedy="shard")
        return Shard(index, count)

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """This part of ``items``: contiguous, and no part is more than one longer than another.

        All parts in turn are the whole list, in its order.
        """
        start, stop = ((self.index - 1) * len(items) // self.count, self.index * len(items) // self.count)
        return items[start:stop]

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


WHOLE = Shard()
"""The whole list."""
