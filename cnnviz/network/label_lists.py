"""Class names in order, from lists and dictionaries as JSON files, configurations and checkpoints hold them."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from cnnviz.errors import shortened
from cnnviz.network.imagenet import fold, has_imagenet_order, imagenet_synsets

_LONGEST_NAME = 500  # characters
_CONTROL_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}  # Unicode: controls, surrogates, line and paragraph separators

NAMES_KEYS = ("id2label", "idx_to_class", "label2id", "class_to_idx", "names", "classes", "labels")
"""The keys under which configurations and checkpoints keep class names."""

Pairs = list[tuple[int, str]]
"""Class indices and names, in the order of a file."""


class LabelsError(ValueError):
    """What is wrong with class names; the message continues ``The labels file … ``."""


def labels_of(content: Any) -> tuple[str, ...]:
    """Class names from the content of a JSON file or a checkpoint.

    Args:
        content: a list of names; an object from index to name, or from name to index; or an object with one of these
            under ``id2label``, ``class_to_idx``, ``names``, …. A name that is a list, as in Keras'
            ``{"0": ["n01440764", "tench"]}``, is its last entry.

    Raises LabelsError where it is none of these, lacks a class or has one twice.
    """
    if isinstance(content, Mapping):
        inner = next((content[key] for key in NAMES_KEYS if isinstance(content.get(key), Mapping | Sequence)), None)
        if inner is not None and not isinstance(inner, str):
            content = inner
    if isinstance(content, Mapping):
        return in_order(_pairs_of(content))
    if not isinstance(content, Sequence) or isinstance(content, str | bytes):
        raise LabelsError("is no list of names, and no object from index to name or from name to index")
    return tuple(map(_name, content))


def _pairs_of(content: Mapping[Any, Any]) -> Pairs:
    """Index and name of each entry, whichever of the two is the key."""
    by_value = [(value, _name(key)) for key, value in content.items() if _is_index(value)]
    by_key = [(int(key), value) for key, value in content.items() if _is_index(key) or is_digits(key)]
    if len(by_value) == len(content) and (counts(index for index, _ in by_value) or len(by_key) < len(content)):
        return by_value
    if len(by_key) < len(content):
        odd = next(key for key, value in content.items() if not (_is_index(key) or is_digits(key)))
        raise LabelsError(f"is no object from index to name or from name to index: see '{shortened(str(odd))}'")
    return [(index, _name(value)) for index, value in by_key]


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_digits(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value.strip()) is not None


def _name(value: Any) -> str:
    if isinstance(value, list | tuple) and value:
        value = value[-1]
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise LabelsError(f"has something else than a name: {shortened(repr(value))}")
    return str(value)


def counts(indices: Any) -> bool:
    """Whether these are the indices of all classes, counted from 0 or from 1."""
    found = sorted(indices)
    return bool(found) and found[0] in (0, 1) and found == list(range(found[0], found[0] + len(found)))


def in_order(pairs: Pairs) -> tuple[str, ...]:
    """The names in the order of their indices; LabelsError where these are not those of all classes, each once."""
    if not pairs:
        return ()
    indices = sorted(index for index, _ in pairs)
    twice = next((one for one, other in pairwise(indices) if one == other), None)
    if twice is not None:
        names = [name for index, name in pairs if index == twice]
        raise LabelsError(f"gives class {twice} to '{shortened(names[0])}' and to '{shortened(names[1])}'")
    if not counts(indices):
        start = indices[0] if indices[0] in (0, 1) else 0
        gap = next(n for n, index in enumerate(indices, start) if n != index)
        raise LabelsError(f"has no class {gap}, but {len(indices)} classes up to {indices[-1]}")
    return tuple(name for _, name in sorted(pairs))


def check_names(labels: tuple[str, ...]) -> None:
    """LabelsError if a name is there twice, or as ``check_displayable`` says."""
    check_displayable(labels)
    places: dict[str, int] = {}
    for index, label in enumerate(labels):
        if label in places and not _are_both_called(label, labels, places[label], index):
            raise LabelsError(f"calls class {places[label]} and class {index} alike: '{shortened(label)}'")
        places[label] = index


def check_displayable(labels: tuple[str, ...]) -> None:
    """LabelsError if a name is empty, too long, or holds control characters."""
    for index, label in enumerate(labels):
        if not label.strip():
            raise LabelsError(f"has an empty name for class {index}")
        if len(label) > _LONGEST_NAME:
            raise LabelsError(f"has a name of {len(label):,} characters for class {index}")
        if not label.isprintable() and any(unicodedata.category(sign) in _CONTROL_CATEGORIES for sign in label):
            raise LabelsError(f"has control characters in the name of class {index}: {label[:40]!a}")


def _are_both_called(label: str, labels: tuple[str, ...], *indices: int) -> bool:
    """Whether two classes of ImageNet's have the same name: it has two cranes and two maillots."""
    if not has_imagenet_order(labels):
        return False
    return all(fold(label) in map(fold, imagenet_synsets()[index].names) for index in indices)


def class_names(value: Any) -> tuple[str, ...] | None:
    """Class names that may be in a checkpoint, in any form of ``labels_of`` or as the text of its JSON; None if not.

    A list of numbers is none: it may be the classes of images.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if isinstance(value, list | tuple) and not all(isinstance(name, str) for name in value):
        return None
    try:
        names = labels_of(value)
        check_displayable(names)
    except LabelsError:
        return None
    return names or None
