"""Every example in the help, of commands and topics, does what it says: run with the embedded network at small sizes.

The examples are read off the application when tests are collected, so that a new command's are run too.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cnnviz.cli.app import app
from cnnviz.cli.commands.help import topics
from cnnviz.cli.reference import Command, commands
from cnnviz.style.model_file import BUILT_IN_STYLES

SMALL = {
    "--steps": "2",
    "--samples": "3",
    "--passes": "1",
    "--octaves": "2",
    "--sample-size": "64",
    "--stride": "16",
    "--zoom": "2",
    "--facets": "2",
    "--crops": "2",
    "--minutes": "0.1",
}
"""Options that make commands quick, set where a command has them and an example leaves them or asks for more."""
COMMANDS = {command.name: command for command in commands()}


def lines_of_topic(name: str) -> list[str]:
    return [line[4:] for line in topics()[name].read_text(encoding="utf-8").splitlines() if line.startswith("  $ ")]


def shrunk(line: str) -> str:
    """The example at a small size. Networks other than the embedded one have random weights here."""
    line = re.sub(r"(--(?:sample-|style-)?size|-s) \d+(x\d+)?\b", r"\1 64", line)
    command = command_of(line)
    known = {name for parameter in command.parameters for name in parameter.names} if command else ()
    for option, value in SMALL.items():
        if re.search(rf"{option} \d+", line):
            line = re.sub(rf"{option} \d+", f"{option} {value}", line)
        elif option in known and option in ("--steps", "--samples", "--passes", "--octaves") and is_plain(line):
            line += f" {option} {value}"
    return line


def command_of(line: str) -> Command | None:
    """The command that a line calls (the last one, of several); None for a group of commands."""
    words = re.split(r"\bcnnviz\s+", line)[-1].split()
    return COMMANDS.get(" ".join(words[:2])) or COMMANDS.get(words[0])


def expected(line: str) -> int:
    """The exit code: 3 for what cannot be had offline, or is no part of a checkout."""
    painter = line.startswith("cnnviz fast-style") and "safetensors" not in line
    return 3 if line.startswith("cnnviz models fetch") or (painter and not BUILT_IN_STYLES.exists()) else 0


def is_plain(line: str) -> bool:
    """Whether the line is a call of cnnviz alone, which needs no shell."""
    return line.startswith("cnnviz ") and not any(word in shlex.split(line) for word in ("|", ">", "&&"))


def run(line: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Exit code and all output of a line."""
    random = re.search(r"(?:-m|--model) (?!squeezenet1_1|my\.)\w+", line)
    with monkeypatch.context() as patch:
        if random:
            patch.setenv("CNNVIZ_WEIGHTS", "random")
        if is_plain(line):
            made = CliRunner().invoke(app, shlex.split(line, comments=True)[1:], catch_exceptions=False)
            return made.exit_code, made.output
        shell = ["bash", "-euo", "pipefail", "-c", line]
        made = subprocess.run(shell, capture_output=True, timeout=200, check=False)
        return made.returncode, (made.stdout[-500:] + made.stderr).decode(errors="replace")


def prepare(folder: Path, lines: list[str]) -> None:
    """Files that examples take up from earlier work: a picture with its recipe, a painter that was trained."""
    if any("chelsea.saliency.png" in line for line in lines):
        CliRunner().invoke(app, ["saliency", "sample_images/chelsea.png"])
        assert (folder / "chelsea.saliency.png").exists()
    if any(re.search(r"(?:-m|--model|--style-model|--extend) my\.safetensors", line) for line in lines):
        styles = ["starry.jpg", "ink.jpg", "monet.jpg"] if "apply" in lines[0] else ["starry.jpg", "ink.jpg"]
        words = ["fast-style", "train", *styles, "--content", "photos/", "-r", "-o", "my.safetensors", *TRAINING]
        made = CliRunner().invoke(app, words)
        assert made.exit_code == 0, made.output


TRAINING = ("--steps", "1", "--crop", "64", "--style-size", "64", "--blocks", "1")


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_a_command(name, playground, monkeypatch):
    lines = [shrunk(line) for line in COMMANDS[name].examples]
    if name == "fast-style train":
        lines = [f"{line} {' '.join(TRAINING[2:])}" for line in lines]
    prepare(playground, lines)
    for line in lines:
        code, told = run(line, monkeypatch)
        assert code == expected(line), f"{line}\n{told}"
        promised = re.search(r"(?:-o|>) ([\w./]+)", line)
        if promised and code == 0:
            assert Path(promised[1]).exists(), f"{line} wrote no {promised[1]}\n{told}"


@pytest.mark.slow
@pytest.mark.parametrize("name", topics())
def test_the_examples_of_a_topic(name, playground, monkeypatch):
    lines = lines_of_topic(name)
    for line in lines:
        code, told = run(shrunk(line), monkeypatch)
        assert code == 0, f"{line}\n{told}"


def test_there_are_examples_everywhere():
    assert all(command.examples for command in COMMANDS.values())
    assert all(lines_of_topic(name) for name in topics())
