"""Class names: reading them, and finding a class by index, name, or part of a name."""

from __future__ import annotations

import difflib
import json
import operator
import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, SupportsIndex

from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.network.catalogue import EMBEDDED_FOLDER
from cnnviz.runtime.paths import UnreadableFileError, detect_encoding, read_file

_LARGEST = 16 << 20
"""Bytes of a labels file: a million names."""

_LONGEST_NAME = 500  # characters
_CONTROL_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}  # Unicode: controls, surrogates, line and paragraph separators
_MAX_MATCHED = 50_000  # labels; with more, similar names are not searched


@cache
def imagenet_labels() -> tuple[str, ...]:
    """The 1000 class names of ILSVRC 2012, in the order every ImageNet network uses."""
    return tuple((EMBEDDED_FOLDER / "imagenet_classes.txt").read_text(encoding="utf-8").splitlines())


def numbered_labels(classes: int) -> tuple[str, ...]:
    """``class 0``, ``class 1`` …, for a network without labels."""
    return tuple(f"class {index}" for index in range(classes))


def read_labels(path: str | Path) -> tuple[str, ...]:
    """Class names from a file: one per line, or JSON (a list; or an object from index to name).

    A JSON value that is itself a list, as in Keras' ``imagenet_class_index.json``, gives its last entry.
    Raises UsageError where the file cannot be read or parsed, or a name cannot be displayed.
    """
    path = Path(path)
    try:
        content = read_file(path, _LARGEST)
        text = content.decode(detect_encoding(content) or "utf-8").removeprefix("\ufeff")
    except UnreadableFileError as error:
        raise UsageError(f"The labels file '{path}' {error}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"The labels file '{path}' cannot be read: it is not text in UTF-8 or UTF-16.") from error
    labels = _labels_from_json(path, text) if path.suffix.lower() == ".json" else _labels_from_lines(text)
    if not labels:
        raise UsageError(f"The labels file '{path}' holds no class names; give one per line.")
    for index, label in enumerate(labels):
        _check_label(path, index, label)
    return labels


def _labels_from_lines(text: str) -> tuple[str, ...]:
    return tuple(" ".join(line.split("\t")).strip() for line in re.split("\r\n|\r|\n", text.strip()) if text.strip())


def _labels_from_json(path: Path, text: str) -> tuple[str, ...]:
    try:
        content: Any = json.loads(text)
        if isinstance(content, dict):
            content = [content[str(index)] for index in range(len(content))]
        return tuple(_name(value[-1] if isinstance(value, list) else value) for value in _as_list(content))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise UsageError(
            f"The labels file '{path}' is not a JSON list of names, nor an object whose keys count from \"0\"."
        ) from error


def _as_list(content: Any) -> list[Any]:
    if not isinstance(content, list):
        raise TypeError("not a list")
    return content


def _name(value: Any) -> str:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise TypeError("not a name")
    return str(value)


def _check_label(path: Path, index: int, label: str) -> None:
    """Raise UsageError if a name is too long, or holds control characters."""
    if len(label) > _LONGEST_NAME:
        raise UsageError(f"In the labels file '{path}' the name of class {index} has {len(label):,} characters.")
    if not label.isprintable() and any(unicodedata.category(sign) in _CONTROL_CATEGORIES for sign in label):
        raise UsageError(
            f"In the labels file '{path}' the name of class {index} holds control characters: {label[:40]!a}."
        )


Target = int | str | Sequence[int | str] | SupportsIndex | Tensor | None
"""A class for all images (index, name or part of a name), one for each, or None for the likeliest of each.

Indices may be NumPy's or a tensor's, as ``network(pixels).argmax(1)`` gives them.
"""


def find_class(labels: tuple[str, ...], wanted: str | SupportsIndex | Tensor) -> int:
    """The index of a class, by index, by name, or by a part that only one name has.

    Case does not matter, and ``_`` may stand for a space. The index may be a NumPy integer or a tensor of one value.

    Raises UsageError that lists the matching names if there are several, and the nearest if there is none.
    """
    found = plain(wanted)
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if isinstance(found, bool) or not isinstance(found, int | str):
        raise UsageError(f"A class is named by its index or its name, not by {_shown(found)}.")
    text = str(found).strip()
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


def find_classes(labels: tuple[str, ...], wanted: Target, count: int) -> list[int] | None:
    """The class index for each of ``count`` images; None for ``wanted`` None.

    Raises UsageError for an unknown class, or another number of classes than of images.
    """
    found = plain(wanted)
    if found is None:
        return None
    if isinstance(found, int | str):
        return [find_class(labels, found)] * count
    if not isinstance(found, Sequence) or isinstance(found, bytes):
        raise UsageError(f"A class is named by its index or its name, not by {_shown(found)}.")
    indices = [find_class(labels, each) for each in found]
    if len(indices) != count:
        raise UsageError(f"{len(indices)} classes were given for {count} images.")
    return indices


def plain(value: Any) -> Any:
    """Tensors, arrays and NumPy numbers as Python numbers and lists."""
    if isinstance(value, list | tuple | range):
        return [plain(each) for each in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    return operator.index(value) if hasattr(value, "__index__") and not isinstance(value, bool) else value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:60]}…"


def _is_integer(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]{1,4000}", text) is not None  # Python parses up to 4300 digits


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
    near = difflib.get_close_matches(text, labels, n=3, cutoff=0.5) if len(labels) <= _MAX_MATCHED else []
    hint = f" Did you mean {', '.join(near)}?" if near else ""
    return UsageError(f"This network has no class called '{text}'.{hint}")
