"""The reference pages are what the program says now, and the documentation holds together."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import cnnviz
from cnnviz.cli.reference import commands

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools"))
        yield importlib.import_module("make_reference")


def test_the_pages_are_current(tool):
    assert tool.stale() == [], "run: python tools/make_reference.py"


def test_every_public_name_is_there_with_its_signature_and_example(tool):
    page = tool.api_page("")
    for name in cnnviz.__all__:
        section = page.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
        assert section.startswith(f"\n```python\n{name}("), name
        assert getattr(cnnviz, name).__doc__.split("\n")[0].replace("``", "`") in section
        assert ">>> " in section, f"{name}: its docstring has no example (a line with >>>)"


def test_the_types_in_signatures_and_the_fields_of_settings_are_explained(tool):
    page = tool.api_page("")
    assert "| `Target` | `cnnviz.network.targets` |" in page
    assert "| `octaves` | `4` | Number of sizes" in page
    assert "input_range: tuple[float, float] | None = None," in page


def test_every_command_and_option_is_listed(tool):
    page = tool.command_page()
    for command in commands():
        section = page.partition(f"\n## {command.name}\n")[2].partition("\n## ")[0]
        assert section, command.name
        for parameter in command.parameters:
            assert parameter.names[0] in section or parameter.value in section, (command.name, parameter)


def test_a_stale_page_is_named_and_written_again(tool, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tool, "DOCS", tmp_path)
    monkeypatch.setattr("sys.argv", ["make_reference.py", "--check"])
    assert tool.main() == 1
    assert "commands.md" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["make_reference.py"])
    assert tool.main() == 0
    assert (tmp_path / "commands.md").read_text(encoding="utf-8") == tool.command_page()
    assert tool.stale() == []


def test_every_page_is_in_the_navigation_and_every_link_leads_somewhere():
    listed = set(re.findall(r"[\w-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    assert listed == {path.name for path in DOCS.glob("*.md")}, "each page has its place in the nav of mkdocs.yml"
    for page in DOCS.glob("*.md"):
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert link.startswith("https://arxiv.org/") or (DOCS / link).exists(), f"{page.name}: {link}"
