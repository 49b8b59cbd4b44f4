"""docs/benchmarks.md says what was measured, and nothing measured is left out of it."""

from __future__ import annotations

from benchmarks.page import PAGE, TEMPLATE, page
from benchmarks.record import kept
from benchmarks.topics import TOPICS


def test_the_page_is_what_the_records_say():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m benchmarks --write-docs"


def test_every_benchmark_has_its_place_on_the_page():
    template = TEMPLATE.read_text(encoding="utf-8")
    assert [name for name in TOPICS if f'table("{name}")' not in template] == []


def test_records_hold_known_benchmarks_and_peaks_for_their_shares():
    for record in kept():
        assert set(record.rows) <= set(TOPICS)
        wanted = {row.precision for rows in record.rows.values() for row in rows if row.operations}
        assert wanted <= {name.split()[-1] for name in record.peaks}


def test_no_share_of_the_peak_is_above_what_the_machine_can_do():
    shares = [row.share(record.peaks) for record in kept() for rows in record.rows.values() for row in rows]
    assert max(share for share in shares if share is not None) < 1.0
