"""The library's messages name no options; the command line adds the one that helps."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import cnnviz
from cnnviz.cli.commands import COMMANDS
from cnnviz.cli.hints import HINTS, message_with_hint
from cnnviz.errors import ImageError, Remark, UsageError

PACKAGE = Path(cnnviz.__file__).parent
COMMAND_LINES = PACKAGE / "pipeline/command_line.py"
"""Writes recipes as commands, and so names options."""
WORDS = "|".join(sorted({name.split()[0] for name in COMMANDS}))
OPTION = re.compile(rf"(?<![\w-])--[a-z][\w-]*|(?<!\S)-[a-zA-Z]\b|\bcnnviz (?:{WORDS})\b")


def remedies() -> Iterator[str]:
    """Every remedy that the code names."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "remedy" and isinstance(node.value, ast.Constant):
                yield node.value.value


def test_every_remedy_has_a_hint_and_every_hint_is_used() -> None:
    assert set(remedies()) - {""} == set(HINTS)


def options_in_messages(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each string that names an option or command; docstrings and the help of settings may."""
    nodes = list(ast.walk(ast.parse(source)))
    spared = {node.value for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("setting"):
            spared.update(ast.walk(node))
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in spared:
            yield from ((node.lineno, node.value) for _ in OPTION.finditer(node.value))


def test_messages_of_the_library_name_no_option() -> None:
    paths = [p for p in sorted(PACKAGE.rglob("*.py")) if "cli" not in p.relative_to(PACKAGE).parts]
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {text}"
        for path in paths
        if path != COMMAND_LINES
        for line, text in options_in_messages(path.read_text(encoding="utf-8"))
    ]
    assert not found, "give the message a remedy, and the option to cnnviz/cli/hints.py:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ('raise UsageError(f"{name} exists; --force overwrites it.")', 1),
        ('warn("Try -o FOLDER/.")', 1),
        ('Remark("Run cnnviz models fetch.")', 1),
        ('"""What --force does."""', 0),
        ('top: int = setting(5, "Not with --all.", names=("--top", "-k"))', 0),
        ('raise UsageError("Between -1 and 1, as in a-b.")', 0),
    ],
)
def test_an_option_in_a_message_is_found(source: str, count: int) -> None:
    assert len(list(options_in_messages(source))) == count


def test_a_hint_follows_the_message() -> None:
    error = ImageError("'a.png' exists already.", remedy="overwrite")
    assert str(error) == "'a.png' exists already."
    assert message_with_hint(error) == "'a.png' exists already. --force replaces it."
    assert message_with_hint(UsageError("No.")) == "No."


def test_an_error_from_another_process_keeps_its_hint() -> None:
    error = ImageError("'a.png' exists already.", remedy="overwrite", size=3)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.remedy, copy.values) == (str(error), "overwrite", {"size": 3})
    remark = Remark("Using another.", remedy="fetch_default", model="resnet50")
    copied = pickle.loads(pickle.dumps(remark))
    assert message_with_hint(copied) == message_with_hint(remark)
    assert "models fetch resnet50" in message_with_hint(copied)
