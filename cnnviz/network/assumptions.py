"""Assumptions about a network's input: what the user did not give is taken to be as for ImageNet, with a remark."""

from __future__ import annotations

from typing import Any

from cnnviz.errors import Remark, listed
from cnnviz.network.spec import InputSpec

_WORDS = {"mean": "mean", "std": "std", "input_range": "input range", "size": "image size", "labels": "labels"}


def assumed_values(spec: InputSpec) -> dict[str, Any]:
    """The assumed values by name, as JSON: ``{"mean": [0.485, …], "labels": "ImageNet"}``."""
    values = {name: "ImageNet" if name == "labels" else getattr(spec, name) for name in _WORDS if name in spec.assumed}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def assumption_remark(model: str, spec: InputSpec) -> Remark | None:
    """The sentence that says what was assumed; None if nothing was."""
    names = [name for name in _WORDS if name in spec.assumed]
    if not names:
        return None
    # Bands other than red, green and blue have no statistics of ImageNet.
    as_of = "as ImageNet's" if spec.channels == 3 else "to need no normalization"
    return Remark(
        f"{model} does not say its {listed([_WORDS[name] for name in names])}, which {_verb(names)} assumed {as_of}.",
        remedy="assumed_input",
        names=names,
    )


def _verb(names: list[str]) -> str:
    return "are" if len(names) > 1 or names == ["labels"] else "is"
