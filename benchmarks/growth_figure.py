"""docs/images/growth.svg: how cost grows, drawn from the records of ``benchmarks.growth``.

Usage: python -m benchmarks.growth_figure
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.record import Record, kept
from benchmarks.row import Row

FIGURE = Path(__file__).parents[1] / "docs" / "images" / "growth.svg"

_BY = (
    ("pixels", re.compile(r"(?P<what>.+?), (?P<side>\d+)×\d+")),
    ("images at once", re.compile(r"(?P<what>saliency), (?P<count>\d+) images? at once")),
    ("patches", re.compile(r"(?P<what>occlusion), (?P<count>\d+) patches")),
    ("styles", re.compile(r"(?P<what>style), (?P<count>\d+) styles?")),
)
"""By what a case's cost grows, and how its words give the technique and the amount."""


def curves(rows: Sequence[Row]) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """(by what, technique) -> amounts and milliseconds, each relative to the smallest amount's."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in rows:
        for by, words in _BY:
            match = words.match(row.case)
            if match and row.ours is not None:
                groups = match.groupdict()
                amount = float(groups["side"]) ** 2 if "side" in groups else float(groups["count"])
                found.setdefault((by, groups["what"]), []).append((amount, row.ours))
                break
    return {
        key: [(amount / points[0][0], cost / points[0][1]) for amount, cost in points] for key, points in found.items()
    }


def draw(record: Record, path: Path = FIGURE) -> None:
    """Draw a record's curves: what is twice as much against how many times it costs, both axes logarithmic."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5))
    longest = 1.0
    for (by, what), points in curves(record.rows["growth"]).items():
        amounts, costs = zip(*points, strict=True)
        axes.plot(amounts, costs, marker="o", label=f"{what}, by {by}")
        longest = max(longest, *amounts)
    axes.plot([1, longest], [1, longest], color="gray", linestyle=":", label="in proportion")
    axes.set(xscale="log", yscale="log", xlabel="times as much", ylabel="times the cost", title=record.machine)
    axes.legend(fontsize=8)
    figure.tight_layout()
    with mpl.rc_context({"svg.hashsalt": "growth"}):  # the same bytes each time
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    draw(next(record for record in kept() if "growth" in record.rows))
    print(FIGURE)
