"""Class names: where they come from, and finding one by index, name, or part of a name."""

from __future__ import annotations

import difflib
import json
from functools import cache
from pathlib import Path
from typing import Any

from cnnviz.errors import UsageError
from cnnviz.network.catalogue import BUNDLED


@cache
def imagenet_labels() -> tuple[str, ...]:
    """The 1000 class names of ILSVRC 2012, in the order every ImageNet network uses."""
    return tuple((BUNDLED / "imagenet_classes.txt").read_text(encoding="utf-8").splitlines())


def numbered_labels(classes: int) -> tuple[str, ...]:
    """Names for a network whose classes nobody named."""
    return tuple(f"class {index}" for index in range(classes))


def read_labels(path: str | Path) -> tuple[str, ...]:
    """Class names from a file: one per line, or JSON (a list; or an object from index to name).

    A JSON value that is itself a list, as in Keras' ``imagenet_class_index.json``, gives its last entry.
    Raises UsageError where the file cannot be read or understood.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The labels file '{path}' cannot be read: {_reason(error)}.") from error
    labels = _labels_from_json(path, text) if path.suffix.lower() == ".json" else _labels_from_lines(text)
    if not labels:
        raise UsageError(f"The labels file '{path}' holds no class names; give one per line.")
    return labels


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not text"


def _labels_from_lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


def _labels_from_json(path: Path, text: str) -> tuple[str, ...]:
    try:
        content: Any = json.loads(text)
        if isinstance(content, dict):
            content = [content[str(index)] for index in range(len(content))]
        return tuple(str(value[-1] if isinstance(value, list) else value) for value in content)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UsageError(
            f"The labels file '{path}' is not a JSON list of names, nor an object whose keys count from \"0\"."
        ) from error


def find_class(labels: tuple[str, ...], wanted: str | int) -> int:
    """The index of the class meant by ``wanted``: an index, a name, or a part that only one name has.

    Case does not matter, and ``_`` may stand for a space. Raises UsageError that lists the candidates where several
    names match, and the nearest names where none does.
    """
    text = str(wanted).strip()
    if _is_integer(text):
        return _checked_index(labels, int(text))
    key = _fold(text)
    folded = [_fold(label) for label in labels]
    whole = [index for index, label in enumerate(folded) if label == key]
    words = [index for index, label in enumerate(folded) if f" {key} " in f" {label} "]
    parts = [index for index, label in enumerate(folded) if key in label]
    best = next((matches for matches in (whole, words, parts) if matches and key), [])
    if len(best) == 1:
        return best[0]
    raise _no_such_class(labels, text, best)


def _is_integer(text: str) -> bool:
    return text.lstrip("-").isdecimal()


def _checked_index(labels: tuple[str, ...], index: int) -> int:
    if 0 <= index < len(labels):
        return index
    raise UsageError(f"Class index {index} is out of range: this network has classes 0 to {len(labels) - 1}.")


def _fold(text: str) -> str:
    return " ".join(text.casefold().replace("_", " ").replace("-", " ").split())


def _no_such_class(labels: tuple[str, ...], text: str, matches: list[int]) -> UsageError:
    if matches:
        listed = ", ".join(f"{labels[index]} ({index})" for index in matches[:8])
        more = f" and {len(matches) - 8} more" if len(matches) > 8 else ""
        return UsageError(f"'{text}' fits {len(matches)} classes: {listed}{more}. Give the full name or the index.")
    near = difflib.get_close_matches(text, labels, n=3, cutoff=0.5)
    hint = f" Did you mean {', '.join(near)}?" if near else ""
    return UsageError(f"This network has no class called '{text}'.{hint}")
