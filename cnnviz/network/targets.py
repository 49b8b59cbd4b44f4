"""Classes as they are asked for: by index, name, or part of a name, one for all images or one for each."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from typing import Any, SupportsIndex

from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.network.class_names import find_by_name


def numbered_labels(classes: int) -> tuple[str, ...]:
    """``class 0``, ``class 1`` …, for a network without labels."""
    return tuple(f"class {index}" for index in range(classes))


Target = int | str | Sequence[int | str] | SupportsIndex | Tensor | None
"""A class for all images (index, name or part of a name), one for each, or None for the likeliest of each.

Indices may be NumPy's or a tensor's, as ``network(pixels).argmax(1)`` gives them.
"""


def find_class(labels: tuple[str, ...], wanted: str | SupportsIndex | Tensor) -> int:
    """The index of a class, by index, by name, or by a part that only one name has.

    Case does not matter, and ``_`` may stand for a space. Classes of ImageNet have WordNet's names and id, too. The
    index may be a NumPy integer or a tensor of one value.

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
    return find_by_name(labels, text)


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
