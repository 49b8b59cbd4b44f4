"""Settings of the attribution methods and their defaults, each written once; importing this module imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from cnnviz.errors import ImageError, UsageError
from cnnviz.settings import setting

Algorithm = Literal["auto", "incremental", "full"]
FILLS = ("mean", "gray", "grey", "black", "blur", "noise")
SCORES = ("probability", "logit")
BASELINES = {"black": 0.0, "gray": 0.5, "grey": 0.5, "white": 1.0}
"""The pixel value of each baseline of integrated gradients."""


@dataclass(frozen=True)
class SmoothGradSettings:
    """The settings of ``smoothgrad``, which explains them."""

    samples: int = setting(50, "Gradients that are averaged: noisy copies, or baselines.", min=1)
    sigma: float = setting(0.15, "Noise of these copies, of the range of pixels.", min=0)
    seed: int = 0


@dataclass(frozen=True)
class IntegratedGradientsSettings:
    """The settings of ``integrated_gradients``, which explains them; ``baseline`` may also be a tensor there."""

    steps: int = setting(64, "Integrated gradients: steps on the path.", min=1)
    baseline: str = setting(
        "black", "What the image is compared with: where the path begins.", choices=("black", "gray", "white")
    )


@dataclass(frozen=True)
class ExpectedGradientsSettings:
    """The settings of ``expected_gradients``, which explains them; ``baselines`` is a tensor there, a folder here."""

    baselines: str | None = setting(
        None,
        "Photos that the image is compared with by expected gradients and GradientSHAP.",
        metavar="FOLDER",
        show_default="images of one random color",
    )
    seed: int = 0


@dataclass(frozen=True)
class PerturbationSettings:
    """The settings of ``rise``, ``lime``, ``kernel_shap`` and ``feature_ablation``, which explain them."""

    masks: int = setting(1000, "RISE, LIME, KernelSHAP: images with parts hidden.", min=2)
    cells: int = setting(7, "RISE: rows and columns of the coarse grid that is hidden at random.", min=1, max=100)
    segments: int = setting(50, "LIME, KernelSHAP, ablation: about how many superpixels there are.", min=2)
    fill: str = setting("mean", "What replaces a hidden part.", choices=tuple(name for name in FILLS if name != "grey"))
    score: str = setting("probability", "The score that hidden parts are judged by.", choices=SCORES)
    seed: int = 0


SMOOTHINGS = ("none", "flips", "eigen")
"""How class activation maps are smoothed; ``cnnviz.grad_cam`` explains them."""


@dataclass(frozen=True)
class OcclusionSettings:
    """The settings of ``occlusion``, which explains them."""

    patch: int = setting(32, "Side of the patch, in the network's pixels.", min=1)
    stride: int = setting(8, "Step between patches, in the network's pixels.", min=1)
    fill: str = setting(
        "mean", "What replaces the hidden part.", choices=tuple(name for name in FILLS if name != "grey")
    )
    score: str = setting("probability", "The score whose drop is shown.", choices=SCORES)
    batch: int | None = setting(None, "Patches computed at a time.", min=1, show_default="by memory")
    algorithm: Algorithm = setting(
        "auto", "incremental recomputes only what a patch can reach.", choices=get_args(Algorithm)
    )
    seed: int = 0

    def validate(self, height: int, width: int) -> None:
        """Raise UsageError for an invalid setting, ImageError for a patch that does not fit images of this size."""
        if self.stride < 1:
            raise UsageError(f"The stride must be at least 1 pixel, not {self.stride}.")
        for kind, value, allowed in (
            ("fill", self.fill, FILLS),
            ("score", self.score, SCORES),
            ("algorithm", self.algorithm, get_args(Algorithm)),
        ):
            if value not in allowed:
                raise UsageError(f"There is no {kind} '{value}'; the choices are {', '.join(allowed)}.")
        if not 1 <= self.patch <= min(height, width):
            raise ImageError(
                f"A patch of {self.patch} pixels does not fit an image of {width}×{height}, as the network sees it.",
                remedy="smaller_patch",
                largest=min(height, width),
            )
