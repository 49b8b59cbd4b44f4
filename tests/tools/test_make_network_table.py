"""docs/networks.md: every network has its row, what must work does, and five rows are what a trial finds."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cnnviz.network import catalogue

pytest.importorskip("torchvision")
pytest.importorskip("timm")

ROOT = Path(__file__).parents[2]
LEAST = 45
"""Of timm's families, on which the main techniques must work."""


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools"))
        yield importlib.import_module("make_network_table")


@pytest.fixture(scope="module")
def table() -> dict[str, dict[str, str]]:
    """The rows of docs/networks.md."""
    return rows_of((ROOT / "docs" / "networks.md").read_text(encoding="utf-8"))


def rows_of(text: str) -> dict[str, dict[str, str]]:
    """A page's rows by name: column -> mark; reasons are written out."""
    reasons = dict(re.findall(r"^(\d+)\. (.*)$", text, re.MULTILINE))
    found, heads = {}, []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if "network" in cells and "side" in cells:
            heads = cells
        elif line.startswith("| ") and len(cells) == len(heads):
            row = dict(zip(heads, cells, strict=True))
            name = row.pop("network").strip("`")
            found[name] = {
                column: reasons.get(mark, mark) if column not in ("side", "family") else mark
                for column, mark in row.items()
            }
    return found


def errors(table: dict[str, dict[str, str]]) -> set[str]:
    """The networks with a cell that is an error, where there should be a mark or a reason."""
    return {name for name, row in table.items() if any("error" in mark.lower() for mark in row.values())}


def test_all_of_torchvisions_networks_and_fifty_families_are_there(tool, table):
    assert set(catalogue.entries()) <= set(table)
    families = {row["family"] for row in table.values() if "family" in row}
    assert len(families) >= 50
    assert set(table) == set(sys.modules["network_trials"].names())


def test_what_must_work_everywhere_does(tool, table):
    assert not errors(table)
    for name, row in table.items():
        if "family" not in row:
            assert all(row[technique] == "✓" for technique in tool.ALWAYS), name
    working = [row for row in table.values() if "family" in row and all(row[each] == "✓" for each in tool.ALWAYS)]
    assert len(working) >= LEAST
    assert {row["traced"] for row in table.values()} <= {"fx", "export", "hooks"}


@pytest.fixture
def row(tool) -> dict[str, Any]:
    results = dict.fromkeys(sys.modules["network_trials"].TRIALS, "works") | {"guided": "It uses SiLU."}
    versions = "torch 2.9, torchvision 0.24 and timm 1.0"
    return {"name": "resnet18", "family": "", "side": 64, "traced": "fx", "results": results, "versions": versions}


def test_the_page_shows_reasons_by_number_and_the_versions(tool, row):
    text = tool.page({"resnet18": row})
    assert "| `resnet18` | 64 | fx | ✓ | ✓ | ✓ | ✓ | 1 | ✓ |" in text
    assert "\n1. It uses SiLU.\n" in text
    assert "\nMade with torch 2.9, torchvision 0.24 and timm 1.0.\n" in text


def test_an_error_on_the_page_is_seen(tool, row):
    trials = sys.modules["network_trials"]

    def fail(network, pixels):
        raise ValueError("no\nluck")

    found = trials._outcome(None, None, fail)
    page = tool.page({"resnet18": row | {"results": row["results"] | {"fool": found}}})
    assert errors(rows_of(page)) == {"resnet18"} and not errors(rows_of(tool.page({"resnet18": row})))
    ended = trials.ended("timm/resnet10t", -9)
    assert errors(rows_of(tool.page({"timm/resnet10t": ended}))) == {"timm/resnet10t"}


@pytest.mark.nightly
@pytest.mark.parametrize(
    "name", ["efficientnet_b0", "swin_t", "timm/vit_tiny_patch16_224", "timm/crossvit_9_240", "timm/resnest14d"]
)
def test_a_trial_finds_what_the_page_says(tool, table, name):
    row = sys.modules["network_trials"].measured(name)
    shown = table[name]
    assert (row["traced"], str(row["side"])) == (shown["traced"], shown["side"])
    assert {key: "✓" if result == "works" else result for key, result in row["results"].items()} == {
        key: shown[key] for key in row["results"]
    }
