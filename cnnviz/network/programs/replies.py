"""What a program prints of images: JSON lines of labels and scores, read strictly.

A line is an object for one image, of one of three shapes; ``input`` may be left out:

- ``{"input": "0001.png", "scores": {"cat": 0.9, "dog": 0.1}}``
- ``{"input": "0001.png", "scores": [0.9, 0.1]}``, in the order of the classes
- ``{"input": "0001.png", "classes": [{"label": "cat", "probability": 0.9}, …]}``, in any order. ``score`` or ``value``
  may stand for ``probability``, ``predictions`` for ``classes``, and each entry may have an ``index``, which then says
  which class it is: what ``cnnviz classify --json`` prints.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from cnnviz.errors import shortened


class ReplyError(Exception):
    """A reply is not as it must be; the message is a verb: ``prints 2 lines for 5 images``.

    ``is_incomplete`` tells that classes are missing, which the program may be asked for.
    """

    def __init__(self, message: str, *, is_incomplete: bool = False) -> None:
        super().__init__(message)
        self.is_incomplete = is_incomplete


@dataclass(frozen=True)
class Entry:
    """The score of one class, by whatever tells the class; None for what is not said."""

    index: int | None
    label: str | None
    score: float


Row = Sequence[Entry]
"""What a line says of one image."""


def rows_of(printed: bytes, names: Sequence[str], *, is_named: bool = True) -> list[Row]:
    """What the lines printed say of the images ``names``, in their order.

    They are told apart by ``input``, of which the last part of the path counts, or else come in order. Where the
    program does not know the names, and of a single image, they do not matter.
    """
    try:
        lines = [line for line in printed.decode().splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise ReplyError("prints something else than text in UTF-8") from None
    found = [_line(line) for line in lines]
    if len(found) != len(names):
        raise ReplyError(f"prints {_counted(len(found), 'line')} for {_counted(len(names), 'image')}")
    inputs = [name for name, _ in found]
    rows = [row for _, row in found]
    if not is_named or len(names) == 1 or all(name is None for name in inputs):
        return rows
    by_name = dict(zip([PurePath(name or "").name for name in inputs], rows, strict=True))
    for name in names:
        if name not in by_name:
            raise ReplyError(f"prints no line for the image {name}: its lines have other names, or one twice")
    return [by_name[name] for name in names]


def _line(text: str) -> tuple[str | None, Row]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise ReplyError(f"prints a line that is no JSON: '{shortened(text)}'") from None
    if isinstance(content, dict):
        for key, read in _SHAPES.items():
            if isinstance(content.get(key), dict | list):
                name = content.get("input")
                return (name if isinstance(name, str) else None), read(content[key])
    raise ReplyError(f"prints a line without 'scores' and 'classes': '{shortened(text)}'")


def _scores(given: Mapping[str, Any] | Sequence[Any]) -> Row:
    if isinstance(given, Mapping):
        return [Entry(None, label, _number(value, label)) for label, value in given.items()]
    return [Entry(index, None, _number(value, f"class {index}")) for index, value in enumerate(given)]


def _classes(given: Any) -> Row:
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise ReplyError("prints 'classes' that are no list of objects")
    return [_entry(each) for each in given]


def _entry(given: Mapping[str, Any]) -> Entry:
    index, label = given.get("index"), given.get("label")
    if label is not None and not isinstance(label, str):
        raise ReplyError(f"prints a label that is no text: {shortened(repr(label))}")
    if index is not None and (isinstance(index, bool) or not isinstance(index, int) or index < 0):
        raise ReplyError(f"prints an index that is no whole number: {shortened(repr(index))}")
    if index is None and label is None:
        raise ReplyError("prints a score with neither 'label' nor 'index'")
    named = next((name for name in ("probability", "score", "value") if name in given), None)
    what = label if label is not None else f"class {index}"
    if named is None:
        raise ReplyError(f"prints no 'probability' for '{shortened(what)}'")
    return Entry(index, label, _number(given[named], what))


def _number(value: Any, label: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ReplyError(f"prints {shortened(repr(value))} for '{shortened(label)}', which is no number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ReplyError(f"prints {'NaN' if math.isnan(number) else 'an infinite number'} for '{shortened(label)}'")
    return number


_SHAPES: dict[str, Callable[[Any], Row]] = {"scores": _scores, "classes": _classes, "predictions": _classes}


@dataclass(frozen=True)
class Classes:
    """The classes of a program, each of which every reply must score.

    Args:
        labels: their names, in order.
        are_given: whether somebody else than the program named them, perhaps in another language.
    """

    labels: tuple[str, ...]
    are_given: bool = False

    @staticmethod
    def of_first(row: Row, labels: Sequence[str] | None) -> Classes:
        """The classes by the first reply, or by the ``labels`` given."""
        if labels is not None:
            return Classes(tuple(labels), True)
        if not row:
            raise ReplyError("prints a line without any class")
        if any(entry.index is None for entry in row):
            return Classes(tuple(entry.label or f"class {entry.index}" for entry in row))
        names = {entry.index: entry.label for entry in row}
        if set(names) != set(range(len(row))):
            highest = max(index for index in names if index is not None)
            raise ReplyError(f"scores {len(row)} classes, though there is a class {highest}", is_incomplete=True)
        return Classes(tuple(names[index] or f"class {index}" for index in range(len(row))))

    def scores(self, row: Row) -> list[float]:
        """The score of each class; ReplyError if one has none, or there are others."""
        is_indexed = all(entry.index is not None for entry in row)
        if is_indexed and not self.are_given:
            self._require_same_labels(row)
        keys: Sequence[int | str | None] = range(len(self.labels)) if is_indexed else self.labels
        given = [entry.index if is_indexed else entry.label for entry in row]
        self._require_once(keys)
        self._require_once(given)
        found = dict(zip(given, [entry.score for entry in row], strict=True))
        missing = [place for place, key in enumerate(keys) if key not in found]
        if missing:
            label, more = self.labels[missing[0]], len(missing) - 1
            others = f" and {_counted(more, 'other class', 'other classes')}" if more else ""
            raise ReplyError(f"prints no score for '{shortened(label)}'{others}", is_incomplete=True)
        other = next(iter(found.keys() - set(keys)), None)
        if other is not None:
            name = f"class {other}" if isinstance(other, int) else f"'{shortened(other)}'"
            whose = "the labels given" if self.are_given else "its first reply"
            raise ReplyError(f"prints a score for {name}, which {whose} {'have' if self.are_given else 'has'} not")
        return [found[key] for key in keys]

    def _require_once(self, keys: Sequence[int | str | None]) -> None:
        """Raise ReplyError if two classes have one name, where names tell them apart."""
        twice = next((key for key, count in Counter(keys).items() if count > 1), None)
        if twice is not None:
            raise ReplyError(f"has two classes '{shortened(str(twice))}', which only an 'index' would tell apart")

    def _require_same_labels(self, row: Row) -> None:
        for entry in row:
            assert entry.index is not None
            if entry.label is not None and entry.index < len(self.labels) and entry.label != self.labels[entry.index]:
                before = shortened(self.labels[entry.index])
                raise ReplyError(f"calls class {entry.index} '{shortened(entry.label)}', and '{before}' at first")


def _counted(number: int, what: str, several: str = "") -> str:
    return f"{number} {what if number == 1 else several or what + 's'}"
