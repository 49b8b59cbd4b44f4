"""Rows as a table: Markdown with its columns aligned, which reads well on a terminal too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchmarks.row import Row

Cells = Sequence[str]


def figure(value: float | str | None) -> str:
    """Three digits of a figure; a dash where there is none."""
    if value is None or isinstance(value, str):
        return value or "–"
    size = abs(value)
    if size >= 100:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 0.01 or size == 0:
        return f"{value:.2f}" if size >= 1 or size == 0 else f"{value:.3f}".rstrip("0")
    return f"{value:.1e}".replace("e-0", "e-")


def table(rows: Sequence[Row], peaks: Mapping[str, float], topics: Sequence[str] | None = None) -> str:
    """The rows with every column that any of them fills; with ``topics``, one for each row, in the first.

    ``peaks``: GFLOP/s of the machine, for shares of it.
    """
    units, rivals = {row.unit for row in rows}, {row.against for row in rows if row.against}
    unit, rival = (f", {next(iter(units))}" if len(units) == 1 else ""), next(iter(rivals), "peer")
    columns: dict[str, Callable[[Row], str]] = {
        "case": lambda row: row.case,
        f"ours{unit}": lambda row: figure(row.ours),
        (rival if len(rivals) == 1 else "peer"): lambda row: figure(row.peer),
        "ratio": lambda row: f"{figure(row.ratio)}×" if row.ratio is not None else "–",
        **({} if unit else {"unit": lambda row: row.unit}),
        **({} if len(rivals) < 2 else {"the peer": lambda row: row.against or "–"}),
        "of peak": lambda row: _percent(row.share(peaks)),
        "MiB, ours": lambda row: figure(row.memory),
        "MiB, peer": lambda row: figure(row.peer_memory),
    }
    if topics is None:
        for name in dict.fromkeys(name for row in rows for name in row.more):
            columns[name] = lambda row, name=name: figure(row.more.get(name))  # type: ignore[misc]
    filled = {title: [cell(row) for row in rows] for title, cell in columns.items()}
    shown = {title: cells for title, cells in filled.items() if title == "case" or set(cells) != {"–"}}
    if topics is not None:
        shown = {"topic": list(topics), **shown}
    return aligned(list(shown), list(zip(*shown.values(), strict=True)))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}".replace("%", " %")


def aligned(titles: Cells, lines: Sequence[Cells]) -> str:
    """A Markdown table: words to the left, figures to the right."""
    left = [i == 0 or titles[i] in ("case", "unit", "the peer") for i in range(len(titles))]
    widths = [max(len(line[i]) for line in [titles, *lines]) for i in range(len(titles))]

    def line(cells: Cells) -> str:
        padded = [c.ljust(w) if to_left else c.rjust(w) for c, w, to_left in zip(cells, widths, left, strict=True)]
        return f"| {' | '.join(padded)} |"

    rule = [("-" * w if to_left else "-" * (w - 1) + ":") for w, to_left in zip(widths, left, strict=True)]
    return "\n".join([line(titles), line(rule), *map(line, lines)])
