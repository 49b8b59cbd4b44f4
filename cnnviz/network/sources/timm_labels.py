"""The class names of timm's networks."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from cnnviz.network.label_lists import class_names


def labels_of(config: Mapping[str, Any], classes: int) -> tuple[str, ...] | None:
    """The names in a ``pretrained_cfg``, else those of the ImageNet set with that many classes; None if neither.

    None too for the 1000 classes of ImageNet, whose names cnnviz has.
    """
    names = class_names(config.get("label_names"))
    if names is not None and len(names) == classes:
        described = config.get("label_descriptions") or {}
        return _short([str(described.get(name, name)) for name in names] if isinstance(described, Mapping) else names)
    if classes in (0, 1000):
        return None
    data = importlib.import_module("timm.data")
    subset = data.infer_imagenet_subset({"num_classes": classes})
    if subset is None:
        return None
    info = data.ImageNetInfo(subset)
    return _short([info.index_to_description(index) for index in range(classes)])


def _short(names: Sequence[str]) -> tuple[str, ...]:
    """The first of several synonyms, where that is the name of one class only."""
    first = [name.partition(",")[0].strip() for name in names]
    uses = Counter(first)
    return tuple(short if uses[short] == 1 else name for short, name in zip(first, names, strict=True))
