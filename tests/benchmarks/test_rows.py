"""Rows, tables and records: figures go in and come out unchanged, and ratios point the right way."""

from __future__ import annotations

import pytest

from benchmarks.record import Record
from benchmarks.row import Row
from benchmarks.table import aligned, figure, table

PEAKS = {"matmul fp32": 50.0, "convolution fp32": 100.0, "matmul bf16": 400.0}


def test_a_ratio_above_one_is_in_our_favour():
    assert Row("x", ours=2.0, peer=6.0).ratio == 3.0
    assert Row("x", ours=2.0).ratio is None


def test_the_share_is_of_the_best_at_the_same_precision():
    row = Row("x", ours=20.0, unit="ms", operations=1e9)
    assert row.share(PEAKS) == pytest.approx(0.5)  # 1 GFLOP in 20 ms is 50 GFLOP/s, of 100
    assert Row("x", ours=20.0, unit="ms", operations=1e9, precision="bf16").share(PEAKS) == pytest.approx(0.125)
    assert Row("x", ours=20.0).share(PEAKS) is None


def test_a_row_comes_back_from_json_as_it_was():
    row = Row("x", 1.234, "ms", 5.0, "captum", 1e9, memory=3.0, more={"difference": 1e-7, "batch": "2"})
    assert Row.from_json(row.to_json()) == row
    assert Row("y").to_json() == {"case": "y"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0.0, "0.00"),
        (1234.5, "1234"),
        (12.34, "12.3"),
        (1.234, "1.23"),
        (0.1234, "0.123"),
        (2e-7, "2.0e-7"),
    ],
)
def test_figures_have_three_digits(value, shown):
    assert figure(value) == shown


def test_a_table_has_the_columns_that_are_filled():
    rows = [Row("one", 1.0, "ms", 2.0, "captum", more={"batch": "4"}), Row("two", 3.0, "ms")]
    lines = table(rows, {}).splitlines()
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == ["case", "ours, ms", "captum", "ratio", "batch"]
    assert [cell.strip() for cell in lines[3].strip("|").split("|")] == ["two", "3.00", "–", "–", "–"]


def test_several_units_and_peers_are_told_row_by_row():
    lines = table([Row("one", 1.0, "ms", 2.0, "captum"), Row("two", 3.0, "loss", 3.0, "Gatys")], {}, ["a", "b"])
    head, _, first, second = (line.split() for line in lines.splitlines())
    assert {"topic", "unit"} <= set(head)
    assert {"a", "ms", "captum"} <= set(first) and {"b", "loss", "Gatys"} <= set(second)


def test_columns_line_up():
    widths = {len(line) for line in aligned(["case", "ms"], [["a long name", "1"], ["b", "12345"]]).splitlines()}
    assert len(widths) == 1


def test_a_record_keeps_what_other_benchmarks_found(tmp_path):
    path = tmp_path / "results" / "machine.json"
    first = Record("a machine", {"matmul fp32": 50.0, "convolution fp32": 90.0})
    second = Record("a machine", {"matmul fp32": 60.0, "convolution fp32": 40.0})  # at a busy moment
    first.add("startup", [Row("x", 1.0)])
    first.add("style", [Row("y", 2.0)])
    first.write_into(path)
    second.add("style", [Row("y", 3.0), Row("z")])
    second.write_into(path)
    found = Record.read(path)
    assert found.rows == {"startup": [Row("x", 1.0)], "style": [Row("y", 3.0), Row("z")]}
    assert found.peaks == {"matmul fp32": 60.0, "convolution fp32": 90.0}


def test_another_machines_figures_are_not_mixed_in(tmp_path):
    path = tmp_path / "machine.json"
    for name in ("one", "other"):
        record = Record(name)
        record.add(name, [Row("x", 1.0)])
        record.write_into(path)
    assert set(Record.read(path).rows) == {"other"}
