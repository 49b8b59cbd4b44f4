"""Which network serves a technique best when the user names none."""

from __future__ import annotations

from dataclasses import dataclass

from cnnviz.network import catalogue, download

BEST_FOR = {
    "attribution": "resnet50",
    "style": "vgg19",
    "texture": "vgg19",
    "inversion": "vgg19",
    "dream": "googlenet",
    "features": "resnet50",
}
"""Technique -> the network whose pictures and maps are known to be best; each a torchvision name."""


@dataclass(frozen=True)
class ModelChoice:
    """A model's name, and what to tell the user about the choice (None when there is nothing to tell)."""

    name: str
    remark: str | None = None


def choose_model(technique: str) -> ModelChoice:
    """The best network for a technique if its weights are here or can be downloaded, else the embedded one."""
    best = BEST_FOR[technique]
    weights = catalogue.entry(best).default
    if download.is_cached(weights):
        return ModelChoice(best)
    if download.can_download(weights):
        return ModelChoice(
            best, f"Downloading {best} ({weights.mebibytes:.0f} MiB, once); '-m squeezenet1_1' avoids it."
        )
    return ModelChoice(
        catalogue.EMBEDDED,
        f"Using the embedded squeezenet1_1; {best} would serve better: 'cnnviz models fetch {best}' online.",
    )
