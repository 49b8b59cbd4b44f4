"""The classes of ImageNet (ILSVRC 2012): torchvision's name for each, WordNet's names, and WordNet's id."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from cnnviz.network.catalogue import EMBEDDED_FOLDER

_SAME_ORDER = 0.9
"""Fraction of a network's 1000 labels that must be ImageNet's, each in its place; the others were renamed."""


@dataclass(frozen=True)
class Synset:
    """A class of ImageNet: a set of synonyms of WordNet 3.0.

    Attributes:
        id: as ``n02123045``.
        names: its synonyms, the most common first: ``tabby``, ``tabby cat``.
    """

    id: str
    names: tuple[str, ...]


@cache
def imagenet_labels() -> tuple[str, ...]:
    """The 1000 class names of ILSVRC 2012, in the order every ImageNet network uses."""
    return tuple((EMBEDDED_FOLDER / "imagenet_classes.txt").read_text(encoding="utf-8").splitlines())


@cache
def imagenet_synsets() -> tuple[Synset, ...]:
    """The synset of each of the 1000 classes, in the same order."""
    lines = (EMBEDDED_FOLDER / "imagenet_synsets.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("\t") for line in lines)
    return tuple(Synset(id, tuple(names.split(", "))) for id, names in pairs)


def fold(text: str) -> str:
    """A name as names are compared: case, underscores, dashes and apostrophes make no difference."""
    return " ".join(re.sub("['’]", "", text.casefold()).replace("_", " ").replace("-", " ").split())


@lru_cache(maxsize=8)
def other_names(labels: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Each class's names besides its label: the parts of ``tench, Tinca tinca``, and WordNet's names of its synset.

    WordNet knows the classes of a network with ImageNet's labels, and labels that are an id or all names of a synset.
    """
    synsets = synsets_of(labels)
    return tuple(_without(label, *parts_of(label), *(synset.names if synset else ())) for label, synset in synsets)


def parts_of(label: str) -> tuple[str, ...]:
    """The names in a label: ``tench`` and ``Tinca tinca`` of ``tench, Tinca tinca``."""
    return tuple(part.strip() for part in label.split(",")) if "," in label else ()


def _without(label: str, *names: str) -> tuple[str, ...]:
    """The names that differ from the label, each once."""
    found = {fold(name): name for name in reversed(names) if fold(name) not in ("", fold(label))}
    return tuple(reversed(found.values()))


@lru_cache(maxsize=8)
def synsets_of(labels: tuple[str, ...]) -> tuple[tuple[str, Synset | None], ...]:
    """Each label with the synset it means, None where that is unknown."""
    if has_imagenet_order(labels):
        return tuple(zip(labels, imagenet_synsets(), strict=True))
    known = _synsets_by_text()
    return tuple((label, known.get(fold(label))) for label in labels)


@cache
def _synsets_by_text() -> dict[str, Synset]:
    """Synsets by their ids, and by all their names as one text where there are several."""
    texts = [(fold(", ".join(synset.names)), synset) for synset in imagenet_synsets() if len(synset.names) > 1]
    count = Counter(text for text, _ in texts)
    unique = {text: synset for text, synset in texts if count[text] == 1}
    return {**unique, **{synset.id: synset for synset in imagenet_synsets()}}


@lru_cache(maxsize=8)
def has_imagenet_order(labels: Sequence[str]) -> bool:
    """Whether labels are those of ImageNet's 1000 classes in the usual order, by whichever of their names or ids."""
    known = imagenet_labels()
    if labels == known:
        return True
    if len(labels) != len(known):
        return False
    same = 0
    for label, name, synset in zip(labels, known, imagenet_synsets(), strict=True):
        names = {fold(each) for each in (name, synset.id, *synset.names)}
        same += not names.isdisjoint({fold(label), *map(fold, parts_of(label))})
    return same >= _SAME_ORDER * len(known)
