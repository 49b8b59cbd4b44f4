"""Classes as they are asked for: by index, name, or part of a name, one for all images or one for each."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex

from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.network.class_names import find_by_name


def numbered_labels(classes: int) -> tuple[str, ...]:
    """``class 0``, ``class 1`` …, for a network without labels."""
    return tuple(f"class {index}" for index in range(classes))


TargetFunction = Callable[[Tensor], Tensor]
"""From logits (N, classes) to the score of each image, (N,)."""


@dataclass(frozen=True)
class Versus:
    """A target of attribution methods: why a class and not another, the difference of their logits.

    Args:
        target: the class: its index, its name or a part of it, or one for each image; None for the class predicted for
            each image.
        other: the class that it is compared with: its index, its name or a part of it.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.saliency(network, pixels, cnnviz.Versus("tabby", "lynx")).shape
        torch.Size([1, 1, 64, 96])
    """

    target: Any
    other: int | str


Target = (
    int | str | SupportsIndex | Tensor | TargetFunction | Versus | Sequence[int | str | TargetFunction | Versus] | None
)
"""A class for all images (index, name or part of a name), one for each, or None for the likeliest of each.

Indices may be NumPy's or a tensor's, as ``network(pixels).argmax(1)`` gives them. The methods that explain a score also
take ``-NAME`` for what speaks against a class (its logit, negated), ``Versus``, and any function from the logits (N,
classes) to a score for each image, (N,).
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
    opposed = negated(labels, text) if isinstance(found, str) else None
    if opposed is not None and not _is_integer(text):
        raise UsageError(
            f"'{text}' is what speaks against '{opposed}', which only maps of an image can show: name a class itself."
        )
    if text.startswith("-") and opposed is None and text in labels:
        return labels.index(text)
    if _is_integer(text):
        return _checked_index(labels, int(text))
    return find_by_name(labels, text)


def negated(labels: tuple[str, ...], text: str) -> str | None:
    """The class in ``-NAME`` or ``-INDEX``; None for anything else, and where a label is called just that."""
    text = text.strip()
    name = text[1:].strip()
    if not text.startswith("-") or not name or name.startswith("-"):
        return None
    return None if any(label.casefold() == text.casefold() for label in labels) else name


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
