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
    """A topic's table for each machine that has one, under the machine's name where there are several."""
    having = [record for record in records if topic in record.rows]
    tables = [table(record.rows[topic], record.peaks) for record in having]
    if len(records) == 1:
        return "\n\n".join(tables)
    return "\n\n".join(f"{record.machine}:\n\n{made}" for record, made in zip(having, tables, strict=True))


def _cost(topic: str, case: str, name: str, records: list[Record]) -> str:
    """One figure, for the words: of the first machine that has it."""
    for record in records:
        for row in record.rows.get(topic, []):
            if row.case == case:
                value = getattr(row, name) if hasattr(row, name) else row.more[name]
                return figure(value)
    raise LookupError(f"No record has the case '{case}' of '{topic}'.")
