"""Finds the class that a text names: by its label, another of its names, its WordNet id, or a part of these."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cnnviz.errors import UsageError, listed, shortened
from cnnviz.network.imagenet import fold, other_names, synsets_of

_MAX_MATCHED = 50_000  # labels; with more, similar names are not searched
_SHOWN = 8  # classes that a message lists
_SHORTEST_WORD = 4  # letters of a word that may be meant by a misspelled one

Labels = tuple[str, ...]
_Test = Callable[[str, str], bool]


def _is_whole(key: str, name: str) -> bool:
    return key == name


def _ends(key: str, name: str) -> bool:
    return name.endswith(f" {key}")


def _is_word(key: str, name: str) -> bool:
    return f" {key} " in f" {name} "


def _is_part(key: str, name: str) -> bool:
    return key in name


_STAGES: tuple[tuple[_Test, bool], ...] = (
    *((_is_whole, False), (_is_whole, True)),
    *((_is_word, False), (_ends, True), (_is_word, True)),  # a brush kangaroo is a kangaroo, a kangaroo bear is none
    *((_is_part, False), (_is_part, True)),
)
"""What is tried in turn, on labels or (True) on other names."""


def find_by_name(labels: Labels, text: str) -> int:
    """The index of the class called ``text``, by its label, another name, its WordNet id, or a part that only one has.

    Raises UsageError that lists the classes that fit if there are several, and the nearest names if there is none.
    """
    if labels.count(text) == 1:  # as it is spelled: ImageNet has a Cardigan, a dog, and a cardigan
        return labels.index(text)
    key = fold(text)
    found = _by_id(labels, key)
    for test, among_others in _STAGES if key else ():
        if found:
            break
        found = _matching(labels, key, test, among_others)
        if len(found) > 1 and not among_others:  # what else fits as well is listed with them
            others = _matching(labels, key, test, True)
            found = {**found, **{index: name for index, name in others.items() if index not in found}}
    if len(found) == 1:
        return next(iter(found))
    raise _no_such_class(labels, text, found)


def _matching(labels: Labels, key: str, test: _Test, among_others: bool) -> dict[int, str]:
    """The name by which each class fits, by its index."""
    if not among_others:
        return {index: label for index, label in enumerate(labels) if test(key, fold(label))}
    fits = (
        (n, next((name for name in names if test(key, fold(name))), "")) for n, names in enumerate(other_names(labels))
    )
    return {index: name for index, name in fits if name}


def _by_id(labels: Labels, key: str) -> dict[int, str]:
    """The classes of a WordNet id."""
    if not re.fullmatch(r"n\d{8}", key):
        return {}
    return {index: label for index, (label, synset) in enumerate(synsets_of(labels)) if synset and synset.id == key}


def _no_such_class(labels: Labels, text: str, found: Mapping[int, str]) -> UsageError:
    if found:
        classes = ", ".join(_described(labels, index, name) for index, name in list(found.items())[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        return UsageError(f"'{text}' fits {len(found)} classes: {classes}{more}. Give the full name or the index.")
    near = nearest_names(labels, text, 0.5)
    hint = f" Did you mean {', '.join(near)}?" if near else ""
    return UsageError(f"This network has no class called '{text}'.{hint}")


def _described(labels: Labels, index: int, name: str) -> str:
    return f"{labels[index]} ({index})" if name == labels[index] else f"{labels[index]} ({index}: {name})"


def nearest_names(labels: Labels, text: str, cutoff: float) -> list[str]:
    """At most three names spelled like ``text``, or with a word like it; other names with their class's label."""
    if len(labels) > _MAX_MATCHED:
        return []
    whole = {fold(label): label for label in labels}
    for label, others in zip(labels, other_names(labels), strict=True):
        for other in others:
            whole.setdefault(fold(other), f"{label} ({other})")
    names = dict(whole)
    for key, shown in whole.items():
        for word in key.split():
            if len(word) >= _SHORTEST_WORD:
                names.setdefault(word, shown)
    near = difflib.get_close_matches(fold(text), names, n=6, cutoff=cutoff)
    return list(dict.fromkeys(names[key] for key in near))[:3]


@dataclass(frozen=True)
class FolderClass:
    """The class that a folder's name means, and whether the name is its index and nothing else."""

    index: int
    by_number: bool = False


def classes_of_folders(
    labels: Labels, folders: Iterable[str], known: Mapping[str, int] | None = None, *, has_indices: bool = True
) -> dict[str, FolderClass | None]:
    """The class that each folder's name means; None for a name that means none.

    Case, underscores and dashes make no difference. A class's label goes before the names in ``known``, those before
    WordNet's id and other names, and a number is an index only if it is none of these.

    Args:
        labels: of the network.
        folders: names of folders, or of classes in a table.
        known: the folders that the network was trained on, and the class of each.
        has_indices: whether a number may be an index.

    Raises UsageError for a name that fits several classes.
    """
    lookups = [
        _table((label, n) for n, label in enumerate(labels)),
        _table((known or {}).items()),
        _table((synset.id, n) for n, (_, synset) in enumerate(synsets_of(labels)) if synset),
        _table((other, n) for n, others in enumerate(other_names(labels)) for other in others),
    ]
    count = len(labels) if has_indices else 0
    return {folder: _class_of_folder(labels, folder, lookups, count) for folder in folders}


def _table(pairs: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for name, index in pairs:
        if index not in found.setdefault(fold(name), []):
            found[fold(name)].append(index)
    return found


def _class_of_folder(
    labels: Labels, folder: str, lookups: Sequence[Mapping[str, Sequence[int]]], count: int
) -> FolderClass | None:
    if labels.count(folder) == 1:
        return FolderClass(labels.index(folder))
    fits = next((lookup[fold(folder)] for lookup in lookups if fold(folder) in lookup), [])
    if len(fits) > 1:
        classes = listed([f"{labels[index]} ({index})" for index in fits[:_SHOWN]])
        raise UsageError(f"'{shortened(folder)}' fits {len(fits)} classes: {classes}; name it by the index.")
    if fits:
        return FolderClass(fits[0])
    is_index = re.fullmatch(r"\d{1,9}", folder.strip()) is not None and int(folder) < count
    return FolderClass(int(folder), by_number=True) if is_index else None
