"""docs/benchmarks.md, written from ``page.md.jinja`` (the words) and ``results/*.json`` (the figures)."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.record import Record, kept
from benchmarks.table import aligned, figure, table

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
TEMPLATE = Path(__file__).with_name("page.md.jinja")


def page() -> str:
    """The page as the template and the records have it."""
    records = kept()
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    template = environment.get_template(TEMPLATE.name)
    return template.render(
        machines=lambda: _machines(records),
        table=lambda topic: _tables(topic, records),
        cost=lambda topic, case, name="ours": _cost(topic, case, name, records),
    )


def _machines(records: list[Record]) -> str:
    """Each machine with the best it was seen to do."""
    names = list(dict.fromkeys(name for record in records for name in record.peaks))
    lines = [[record.machine, *(figure(record.peaks.get(name)) for name in names)] for record in records]
    return aligned(["machine", *names], lines)


def _tables(topic: str, records: list[Record]) -> str:
    """A topic's ratios of all machines that have it side by side, and each one's table under its name."""
    having = [record for record in records if topic in record.rows]
    tables = [f"{_with_version(record, topic)}:\n\n{table(record.rows[topic], record.peaks)}" for record in having]
    return "\n\n".join([*([_side_by_side(topic, having)] if len(having) > 1 else []), *tables])


def _with_version(record: Record, topic: str) -> str:
    return f"{record.machine}; torch {record.torch[topic]}"


def _side_by_side(topic: str, records: list[Record]) -> str:
    """The ratio of each case on each machine; a dash where it was not measured."""
    cases = list(dict.fromkeys(row.case for record in records for row in record.rows[topic]))
    ratios = [{row.case: row.ratio for row in record.rows[topic]} for record in records]
    lines = [[case, *(f"{figure(found[case])}×" if found.get(case) else "–" for found in ratios)] for case in cases]
    return "Ratios:\n\n" + aligned(["case", *(record.machine for record in records)], lines)


def _cost(topic: str, case: str, name: str, records: list[Record]) -> str:
    """One figure, for the words: of the first machine that has it."""
    for record in records:
        for row in record.rows.get(topic, []):
            if row.case == case:
                value = getattr(row, name) if hasattr(row, name) else row.more[name]
                return figure(value)
    raise LookupError(f"No record has the case '{case}' of '{topic}'.")
