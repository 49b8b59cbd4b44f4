"""Which network ``auto`` means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cnnviz.errors import Remark
from cnnviz.network import catalogue, download

Purpose = Literal["attribution", "style", "texture", "inversion", "dream", "features"]
"""What a network is loaded for, which decides what model ``auto`` is."""

PREFERRED_MODELS: Mapping[Purpose, str] = {
    "attribution": "resnet50",
    "style": "vgg19",
    "texture": "vgg19",
    "inversion": "vgg19",
    "dream": "googlenet",
    "features": "resnet50",
}
"""The purpose of a network -> the torchvision network known for the best results."""


@dataclass(frozen=True)
class ModelChoice:
    """A model's name, and a remark for the user about the choice, if any."""

    name: str
    remark: Remark | None = None


def choose_model(purpose: Purpose) -> ModelChoice:
    """The preferred network for a purpose if its weights are cached or can be downloaded, else the embedded one."""
    preferred = PREFERRED_MODELS[purpose]
    weights = catalogue.entry(preferred).default
    if download.is_cached(weights):
        return ModelChoice(preferred)
    if download.can_download(weights):
        size = f"{weights.mebibytes:.0f} MiB, once"
        return ModelChoice(preferred, Remark(f"Downloading {preferred} ({size}).", remedy="embedded_model"))
    return ModelChoice(
        catalogue.EMBEDDED,
        Remark(
            f"Using the embedded {catalogue.EMBEDDED}; {preferred} gives better results.",
            remedy="fetch_default",
            model=preferred,
        ),
    )
