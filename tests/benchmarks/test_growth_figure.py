"""The figure of how cost grows reads the words of the benchmark's cases."""

from __future__ import annotations

import pytest

from benchmarks.growth_figure import FIGURE, curves, draw
from benchmarks.record import Record
from benchmarks.row import Row

ROWS = [
    Row("saliency, 224×224", 20.0, "ms"),
    Row("saliency, 448×448", 70.0, "ms"),
    Row("saliency, 1 image at once", 20.0, "ms"),
    Row("saliency, 4 images at once", 60.0, "ms"),
    Row("occlusion, 49 patches (stride 32)", 200.0, "ms"),
    Row("style, 1 style, 10 steps", 800.0, "ms"),
    Row("style, 256×256, 10 steps", 800.0, "ms"),
    Row("visualize, features.3, 10 steps", 100.0, "ms"),
]


def test_amounts_and_costs_are_relative_to_the_smallest():
    found = curves(ROWS)
    assert found["pixels", "saliency"] == [(1, 1), (4, pytest.approx(3.5))]
    assert found["images at once", "saliency"] == [(1, 1), (4, pytest.approx(3))]
    assert set(found) == {
        ("pixels", "saliency"), ("images at once", "saliency"), ("patches", "occlusion"), ("styles", "style"),
        ("pixels", "style"),
    }  # fmt: skip


def test_it_is_drawn(tmp_path):
    draw(Record("a machine", rows={"growth": ROWS}), tmp_path / "growth.svg")
    assert "<svg" in (tmp_path / "growth.svg").read_text(encoding="utf-8")
    assert FIGURE.is_file()
