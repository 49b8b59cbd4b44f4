"""Names that were given up for the field's standard terms do not come back as definitions.

Each file in ``retired/`` lists the names that one package gave up, one a line; what stands behind the name (its
replacement, a comment after ``#``) is for the reader.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("cnnviz", "tests", "benchmarks", "tools")


def retired_names() -> dict[str, str]:
    """Every retired name, and the list it stands in."""
    lists = sorted((Path(__file__).parent / "retired").glob("*.txt"))
    lines = [(line.partition("#")[0].split(), path.name) for path in lists for line in path.read_text().splitlines()]
    return {words[0]: name for words, name in lines if words}


def definitions(source: str) -> Iterator[tuple[int, str]]:
    """The line and name of every class, function, parameter, dataclass field and private constant in ``source``.

    Public names that are merely assigned are left out: they may be aliases that a release still keeps.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        if isinstance(node, ast.arg):
            yield node.lineno, node.arg
        if isinstance(node, ast.ClassDef):
            fields = (part.target for part in node.body if isinstance(part, ast.AnnAssign))
            yield from ((field.lineno, field.id) for field in fields if isinstance(field, ast.Name))
        if isinstance(node, ast.Module):
            assigned = (target for part in node.body if isinstance(part, ast.Assign) for target in part.targets)
            names = (target for target in assigned if isinstance(target, ast.Name))
            yield from ((name.lineno, name.id) for name in names if name.id.startswith("_"))


def file_name(path: Path) -> str:
    """The name a file stands for: its stem, without the prefix of tests."""
    return path.stem.removeprefix("test_")


def test_definitions_are_found() -> None:
    source = "_TABLE = {}\nAlias = int\nclass Card:\n    size: int\n    def draw(self, *, pen=None): ...\n"
    assert {name for _, name in definitions(source)} == {"_TABLE", "Card", "size", "draw", "self", "pen"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_retired_name_is_defined(folder: str) -> None:
    retired = retired_names()
    found = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        names = [(1, file_name(path)), *definitions(path.read_text(encoding="utf-8"))]
        place = path.relative_to(ROOT)
        found += [f"{place}:{line}: {name} ({retired[name]})" for line, name in names if name in retired]
    assert not found, "retired names are defined again:\n" + "\n".join(found)
