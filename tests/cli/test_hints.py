"""The library's messages name no options; the command line adds the one that helps."""

from __future__ import annotations

import ast
import pickle
from collections.abc import Iterator
from pathlib import Path

import cnnviz
from cnnviz.cli.hints import HINTS, message_with_hint
from cnnviz.errors import ImageError, Remark, UsageError

PACKAGE = Path(cnnviz.__file__).parent


def remedies() -> Iterator[str]:
    """Every remedy that the code names."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "remedy" and isinstance(node.value, ast.Constant):
                yield node.value.value


def test_every_remedy_has_a_hint_and_every_hint_is_used() -> None:
    assert set(remedies()) - {""} == set(HINTS)


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
