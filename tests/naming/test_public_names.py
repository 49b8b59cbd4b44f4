"""The public names of ``cnnviz`` load from where its stub says; inside the package nothing is imported through it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import cnnviz

PACKAGE = Path(cnnviz.__file__).parent


def imports(path: Path) -> Iterator[ast.ImportFrom]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))


STUB = {name.name: node.module or "" for node in imports(PACKAGE / "__init__.pyi") for name in node.names}


@pytest.mark.parametrize("name", STUB)
def test_a_public_name_is_defined_where_the_stub_says(name: str) -> None:
    assert getattr(cnnviz, name).__module__ == f"cnnviz.{STUB[name]}"


def test_all_public_names_are_listed() -> None:
    assert set(cnnviz.__all__) == set(dir(cnnviz)) == set(STUB)
    with pytest.raises(AttributeError, match="nothing"):
        _ = cnnviz.nothing


def test_inside_the_package_names_are_imported_from_the_module_that_defines_them() -> None:
    """Neither through ``cnnviz`` itself nor through the ``__init__`` of a package below it, but for the options."""
    wrong = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}: from {node.module} import {alias.name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in imports(path)
        if node.level == 0 and is_package(node.module or "")
        for alias in node.names
        if not is_module(f"{node.module}.{alias.name}") and alias.name != "__version__"
    ]
    assert not wrong, "\n".join(wrong)


def is_package(module: str) -> bool:
    is_ours = module.partition(".")[0] == "cnnviz" and not module.startswith("cnnviz.cli")
    return is_ours and (file_of(module) / "__init__.py").exists()


def is_module(module: str) -> bool:
    return file_of(module).with_suffix(".py").exists() or file_of(module).is_dir()


def file_of(module: str) -> Path:
    return PACKAGE.joinpath(*module.split(".")[1:])
