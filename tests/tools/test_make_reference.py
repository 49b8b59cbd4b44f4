"""The reference pages are what the program says now, and the documentation holds together."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from cnnviz.cli.app import app
from cnnviz.cli.reference import commands

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "tools/make_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_current(tool):
    assert tool.stale() == [], "run: python tools/make_reference.py"


def test_every_command_and_option_is_told_of(tool):
    page = tool.command_page()
    for command in commands(app):
        section = page.partition(f"\n## {command.name}\n")[2].partition("\n## ")[0]
        assert section, command.name
        for parameter in command.parameters:
            assert parameter.names[0] in section or parameter.value in section, (command.name, parameter)


def test_a_stale_page_is_told_of_and_written_anew(tool, tmp_path, monkeypatch, capsys):
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
