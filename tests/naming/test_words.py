"""Private language and British spelling do not come back in docstrings, help, messages and docs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "cnnviz"
GENERATED = ("api.md", "benchmarks.md", "commands.md")
"""Pages written from docstrings, help, and a template, which are searched instead."""
NAMES = re.compile(
    r"^ +\w+(?:, \w+)*: |``.*?``|`.*?`|\"[^\"]*\"|(?<!\w)'[^'\s]*'|--[\w-]+|https?:\S+|\w+(?:[._/]\w+)+", re.S | re.M
)
"""Arguments, code, quoted titles and values, options, addresses and dotted names: what may keep any spelling."""
PARTS = sorted(path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__")


def retired_words() -> dict[str, str]:
    """What to write instead, by the pattern of the retired word."""
    lines = (Path(__file__).parent / "retired_words.txt").read_text(encoding="utf-8").splitlines()
    entries = (line.partition(" -> ") for line in lines if line.strip() and not line.startswith("#"))
    return {pattern: better for pattern, _, better in entries}


WORDS = retired_words()
ANY = re.compile("|".join(rf"(?P<w{number}>\b(?:{pattern})\b)" for number, pattern in enumerate(WORDS)), re.I)


def found_in(text: str) -> Iterator[str]:
    """Each retired word of a text, with what to write instead."""
    plain = NAMES.sub(lambda name: re.sub(r"[^\n]", "¤", name[0]), text)
    for match in ANY.finditer(plain):
        better = list(WORDS.values())[int((match.lastgroup or "w0")[1:])]
        yield f"{' '.join(match[0].split())} ({better})"


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each docstring and message; single words are values, keys and file names."""
    tree = ast.parse(source)
    inner = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)} - {tree}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            values = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
            yield node.lineno, "".join(map(str, values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inner and " " in node.value:
            yield node.lineno, node.value


def prose(markdown: str) -> str:
    """A page without its code blocks and comments, whose lines are left empty."""
    return re.sub(r"^ *```.*?^ *```|<!--.*?-->", lambda block: "\n" * block[0].count("\n"), markdown, flags=re.S | re.M)


def retired(path: Path, parts: Iterable[tuple[int, str]]) -> list[str]:
    """Every retired word in the parts of a file, with its place."""
    name = path.relative_to(ROOT)
    return [f"{name}:{line}: {word}" for line, text in parts for word in found_in(text)]


@pytest.mark.parametrize("part", PARTS)
def test_a_package_says_it_plainly(part: str) -> None:
    paths = sorted((PACKAGE / part).rglob("*.py"))
    found = [line for path in paths for line in retired(path, texts(path.read_text(encoding="utf-8")))]
    assert not found, "\n".join(found)


def test_the_modules_beside_the_packages_say_it_plainly() -> None:
    paths = sorted(PACKAGE.glob("*.py"))
    found = [line for path in paths for line in retired(path, texts(path.read_text(encoding="utf-8")))]
    assert not found, "\n".join(found)


def test_the_docs_say_it_plainly() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    pages += [ROOT / "sample_images/README.md", ROOT / "benchmarks/page.md.jinja"]
    found = []
    for page in pages:
        if page.name not in GENERATED:
            found += retired(page, enumerate(prose(page.read_text(encoding="utf-8")).splitlines(), 1))
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "The gradient anew.",
        "an image, lest\nit be read",
        "the colour of a neighbour",
        "gray, not grey",
        "Optimised twice",
    ],
)
def test_a_retired_word_is_found(text: str) -> None:
    assert list(found_in(text))


@pytest.mark.parametrize(
    "text",
    [
        "``grey`` is now 'gray'",
        "FilterGrid.colour is now FilterGrid.color",
        'Simonyan et al., "Visualising Image Classification Models", 2014',
        "the number of passes over the images",
        "the negative slope of the last ReLUs",
        "Otherwise raise an error of a precise kind, as promised",
    ],
)
def test_names_titles_and_other_words_are_left_alone(text: str) -> None:
    assert not list(found_in(text))


def test_text_is_found_in_docstrings_and_messages() -> None:
    source = '"""A doc."""\nKEY = "grey"\ndef f(x):\n    raise ValueError(f"There is no {x} here, or there.")\n'
    assert [text for _, text in texts(source)] == ["A doc.", "There is no … here, or there."]
