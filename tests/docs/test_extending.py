"""The two exercises of docs/extending.md, followed on a copy of the package.

A method is one file and one entry in the registry; a command is its task, its function and one line in the list.
"""

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
PHOTO = str(ROOT / "sample_images/chelsea.png")
SMALL = ["-m", "squeezenet1_1", "-s", "64", "--json", "-o"]
RUN = """
import json, sys
import cnnviz
from typer.testing import CliRunner
from cnnviz.cli.app import app

assert cnnviz.__file__.startswith(sys.argv[1]), cnnviz.__file__
found = [CliRunner().invoke(app, line, catch_exceptions=False) for line in json.loads(sys.argv[2])]
print(json.dumps([{"code": each.exit_code, "out": each.stdout, "err": each.stderr} for each in found]))
"""
LIBRARY = """
import cnnviz
from cnnviz.pipeline.config import InputConfig, NetworkConfig, OutputConfig
from cnnviz.pipeline.run import PipelineConfig
from cnnviz.tasks.decolor import Decolor

config = PipelineConfig(NetworkConfig("squeezenet1_1"), InputConfig(size=64), OutputConfig("library.png"))
(result,) = cnnviz.run_images(Decolor(strength=0.5), {photo!r}, config)
"""


def blocks() -> list[str]:
    """The Python blocks of the page, in order."""
    found = re.findall(r"^( *)```python\n(.*?)^ *```$", (ROOT / "docs/extending.md").read_text(), re.M | re.S)
    return [textwrap.dedent(text) for _, text in found]


FUNCTION, ENTRY, TASK, COMMAND, LINE = blocks()


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with the package in it; its files are links, but for those that the exercises write."""
    package = Path(cnnviz.__file__).parent
    shutil.copytree(
        package, tmp_path / "cnnviz", copy_function=os.symlink, ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def add_file(folder: Path, text: str) -> None:
    """Write a new file of the page; its docstring is its path."""
    path = folder / text.split('"""')[1]
    assert not path.exists()
    path.write_text(text)


def add_line(path: Path, line: str, after: str) -> None:
    """Write ``line`` before what ends a list whose last lines are ``after``."""
    before, found, rest = path.read_text().partition(after)
    assert found
    path.unlink()  # the link
    path.write_text(f"{before}\n{textwrap.indent(line.strip(), '    ')}{after}{rest}")


def run(folder: Path, *command: str) -> str:
    """What a program prints, with the copy of the package."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_commands(folder: Path, *lines: list[str]) -> list[dict[str, str]]:
    """What each command line prints on stdout; all must end well."""
    results = json.loads(run(folder, sys.executable, "-c", RUN, str(folder), json.dumps(lines)))
    assert [each["code"] for each in results] == [0] * len(lines), results
    return results


def reference(folder: Path, function: str) -> str:
    """What a function of tools/make_reference.py makes of the copy."""
    tools = f"import sys; sys.path.insert(0, {str(ROOT / 'tools')!r}); import make_reference"
    return run(folder, sys.executable, "-c", f"{tools}; print(make_reference.{function}())")


@pytest.mark.slow
def test_a_method_is_one_file_and_one_entry(copied: Path) -> None:
    add_file(copied, FUNCTION)
    add_line(copied / "cnnviz/attribution/registry.py", f"{ENTRY.rstrip()},", after="\n)\n\nMETHODS")
    explained, _, reported, help_text = run_commands(
        copied,
        ["saliency", PHOTO, "--method", "gradient-norm", "--check", *SMALL, "map.png"],
        ["compare", PHOTO, "--methods", "saliency,gradient-norm", *SMALL, "sheet.png"],
        ["report", PHOTO, "--methods", "gradient-norm", "--layer", "fire2", *SMALL, "page.html"],
        ["saliency", "--help"],
    )
    assert 0 <= json.loads(explained["out"])["check"]["areas"]["deletion"] <= 1
    assert json.loads(reported["out"])["pictures"][0]["maps"] == ["gradient norm"]
    assert all((copied / name).stat().st_size for name in ("map.png", "map.check.png", "sheet.png"))
    page = (copied / "page.html").read_text()
    assert "gradient norm" in page and "How far does the score move" in page
    assert "gradient-norm" in help_text["out"]
    assert "`saliency --method gradient-norm`" in reference(copied, "method_table")


@pytest.fixture
def with_command(copied: Path) -> Path:
    """The copy with the page's command."""
    add_file(copied, TASK)
    add_file(copied, COMMAND)
    add_line(copied / "cnnviz/cli/commands/__init__.py", LINE, after='\n}\n"""Each command')
    return copied


def test_a_command_is_a_task_a_function_and_one_line(with_command: Path) -> None:
    line = ["decolor", PHOTO, "--strength", "0.5", *SMALL, "pale.png"]
    help_text, own_help, made, info = run_commands(
        with_command, ["--help"], ["decolor", "--help"], line, ["info", "pale.png", "--command"]
    )
    assert "decolor" in help_text["out"]
    assert "--strength" in own_help["out"] and "cnnviz decolor photos/ -r --strength 0.5" in own_help["out"]
    assert set(json.loads(made["out"])["predicted"]) == {"index", "label", "probability"}
    assert (with_command / "pale.png").stat().st_size
    assert info["out"].startswith("cnnviz decolor ") and "--strength 0.5" in info["out"]


@pytest.mark.slow
def test_the_command_is_in_the_reference_and_its_task_in_the_library(with_command: Path, file_content) -> None:
    assert "\n## decolor\n" in reference(with_command, "command_page")
    run_commands(with_command, ["decolor", PHOTO, "--strength", "0.5", *SMALL, "command.png"])
    run(with_command, sys.executable, "-c", LIBRARY.format(photo=PHOTO))
    assert file_content(with_command / "library.png") == file_content(with_command / "command.png")


def test_the_command_keeps_the_import_contracts(with_command: Path) -> None:
    pytest.importorskip("importlinter")
    lint = "from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    kept = run(with_command, sys.executable, "-c", f"import sys; sys.path.insert(0, '.'); {lint}")
    assert "0 broken" in kept


def test_the_exercises_are_not_part_of_the_package() -> None:
    for text in (FUNCTION, TASK, COMMAND):
        assert not (ROOT / text.split('"""')[1]).exists()
