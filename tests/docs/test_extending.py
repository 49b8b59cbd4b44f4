"""The example of docs/extending.md, followed on a copy of the package: a method is one file and one entry."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import cnnviz

ROOT = Path(__file__).parents[2]
RUN = """
import json, sys
import cnnviz
from typer.testing import CliRunner
from cnnviz.cli.app import app

assert cnnviz.__file__.startswith(sys.argv[1]), cnnviz.__file__
found = [CliRunner().invoke(app, line, catch_exceptions=False) for line in json.loads(sys.argv[2])]
print(json.dumps([{"code": each.exit_code, "out": each.stdout, "err": each.stderr} for each in found]))
"""


def blocks() -> list[str]:
    """The Python blocks of the page, in order."""
    found = re.findall(r"^( *)```python\n(.*?)^ *```$", (ROOT / "docs/extending.md").read_text(), re.M | re.S)
    return [textwrap.dedent(text) for _, text in found]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with the package in it; its files are links, but for those that the example writes."""
    package = Path(cnnviz.__file__).parent
    shutil.copytree(
        package, tmp_path / "cnnviz", copy_function=os.symlink, ignore=shutil.ignore_patterns("__pycache__")
    )
    return tmp_path


def add_method(folder: Path, function: str, entry: str) -> None:
    """Do what the page says."""
    path = folder / function.split('"""')[1]
    path.write_text(function)
    registry = folder / "cnnviz/attribution/registry.py"
    before, _, after = registry.read_text().partition("\n)\n\nMETHODS")
    registry.unlink()
    registry.write_text(f"{before}\n{textwrap.indent(entry.rstrip(), '    ')},\n)\n\nMETHODS{after}")


def run(folder: Path, code: str, *arguments: str) -> str:
    """What Python prints, with the copy of the package."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_method_is_one_file_and_one_entry(copied: Path) -> None:
    function, entry = blocks()
    add_method(copied, function, entry)
    photo = str(ROOT / "sample_images/chelsea.png")
    small = ["-m", "squeezenet1_1", "-s", "64", "--json", "-o"]
    lines = [
        ["saliency", photo, "--method", "gradient-norm", "--check", *small, "map.png"],
        ["compare", photo, "--methods", "saliency,gradient-norm", *small, "sheet.png"],
        ["report", photo, "--methods", "gradient-norm", "--layer", "fire2", *small, "page.html"],
        ["saliency", "--help"],
    ]
    results = json.loads(run(copied, RUN, str(copied), json.dumps(lines)))
    assert [each["code"] for each in results] == [0, 0, 0, 0], results
    explained, _, reported, help_text = results
    assert 0 <= json.loads(explained["out"])["check"]["areas"]["deletion"] <= 1
    assert json.loads(reported["out"])["pictures"][0]["maps"] == ["gradient norm"]
    assert all((copied / name).stat().st_size for name in ("map.png", "map.check.png", "sheet.png"))
    page = (copied / "page.html").read_text()
    assert "gradient norm" in page and "How far does the score move" in page
    assert "gradient-norm" in help_text["out"]
    tools = f"import sys; sys.path.insert(0, {str(ROOT / 'tools')!r}); import make_reference"
    table = run(copied, f"{tools}; print(make_reference.method_table())")
    assert "`saliency --method gradient-norm`" in table


def test_the_example_is_not_part_of_the_package() -> None:
    assert not (ROOT / "cnnviz/attribution/gradient_norm.py").exists()
