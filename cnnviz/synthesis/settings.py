"""Settings of every synthesis technique: frozen dataclasses in which each default is written once.

Fields carry a sentence of help and their range as metadata, for whatever shows them to a user. This module does not
import torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from cnnviz.errors import UsageError
from cnnviz.settings import setting

STATISTICS = ("gram", "covariance", "wasserstein")
"""How the feature statistics of two textures can be compared; see ``cnnviz.synthesis.feature_statistics``."""

VISUALIZATION_METHODS = ("lucid", "simonyan", "yosinski")
"""The recipes of feature visualization; see ``cnnviz.synthesis.recipes``."""

Settings = TypeVar("Settings")


def build_settings(
    kind: type[Settings],
    settings: Settings | None,
    changes: Mapping[str, Any],
    renamed: Mapping[str, str] | None = None,
) -> Settings:
    """``settings`` (``kind``'s defaults if None) with ``changes`` to its fields; ``renamed`` maps old names to new.

    Raises:
        TypeError: a change is no field of ``kind``.
        UsageError: a value is out of range.
    """
    current = {}
    for name, value in changes.items():
        new = (renamed or {}).get(name, name)
        if new != name:
            warnings.warn(
                f"'{name}' is now called '{new}'.", DeprecationWarning, stacklevel=4
            )  # past torch.inference_mode
        current[new] = value
    return replace(kind() if settings is None else settings, **current)  # type: ignore[type-var]


def rename_pooling(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options, with version 0.1's ``average_pooling`` and ``rescale_pooling`` as ``pooling``."""
    old = {name: options[name] for name in ("average_pooling", "rescale_pooling") if name in options}
    if not old:
        return options
    pooling = "max" if not old.get("average_pooling", True) else "rescaled" if old.get("rescale_pooling") else "average"
    warnings.warn(f"{' and '.join(old)} are now called 'pooling'.", DeprecationWarning, stacklevel=4)
    return {**{name: value for name, value in options.items() if name not in old}, "pooling": pooling}


def require_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise UsageError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise UsageError(f"There is no {name} '{value}'; there are {', '.join(choices)}.")


@dataclass(frozen=True)
class DreamSettings:
    """Settings of ``cnnviz.dream``."""

    octaves: int = setting(4, "Number of sizes, from small to large.", min=1, max=64)
    octave_scale: float = setting(1.4, "Ratio of one size to the next, above 1.", advanced=True)
    steps: int = setting(20, "Steps of each octave.", min=1)
    step_size: float = setting(1.0, "Length of a step; 1 changes each pixel by 0.005 on average.", min=0)
    jitter: int = setting(32, "Largest random shift, in pixels.", min=0, advanced=True)
    color_share: float = setting(0.0, "Fraction of the photo's own color to keep.", min=0, max=1)
    tile: int | None = setting(
        None, "Largest side of the tiles the gradient is computed in; None for one pass.", min=1, is_option=False
    )

    def __post_init__(self) -> None:
        if self.octaves < 1:
            raise UsageError(f"A dream needs at least one octave, not {self.octaves}.")
        if self.octave_scale <= 1:
            raise UsageError(f"The octave scale must be above 1, not {self.octave_scale:g}.")


@dataclass(frozen=True)
class InversionSettings:
    """Settings of ``cnnviz.invert``."""

    steps: int = setting(80, "Forward and backward passes for each layer.", min=1)
    optimizer: str = setting("lbfgs", "Optimizer of the image; adam needs more steps.", choices=("lbfgs", "adam"))
    prior: str = setting(
        "fourier", "Parameterization of the image: its spectrum, or plain pixels.", choices=("fourier", "pixels")
    )
    tv_weight: float = setting(2.0, "Weight of the total variation.", min=0)
    tv_beta: float = setting(2.0, "Exponent of the total variation.", min=1, max=4)

    def __post_init__(self) -> None:
        require_choice("optimizer", self.optimizer, ("lbfgs", "adam"))
        require_choice("prior", self.prior, ("fourier", "pixels"))


@dataclass(frozen=True)
class VisualizationSettings:
    """Settings of ``cnnviz.visualize``."""

    method: str = setting(
        "lucid",
        "Recipe: lucid (Olah 2017), simonyan (2014) or yosinski (2015).",
        choices=VISUALIZATION_METHODS,
    )
    size: int | tuple[int, int] | None = setting(None, "Side, or (height, width), in pixels; None: the network's.")
    steps: int = setting(256, "Forward and backward passes.", min=1)
    diversity: float = setting(0.0, "How much the images of one batch are to differ; 0.2 to 1 gives facets.", min=0)
    latent: Sequence[int] = setting((4096,), "Shape of a generator's latent code.")

    def __post_init__(self) -> None:
        require_choice("method", self.method, VISUALIZATION_METHODS)


@dataclass(frozen=True)
class EfrosLeungSettings:
    """Settings of ``efros_leung_texture``."""

    window: int = setting(
        11,
        "Efros-Leung: side of the neighborhood in pixels, odd; about the largest regular feature.",
        min=3,
        advanced=True,
    )
    tolerance: float = setting(
        0.1, "Efros-Leung: how much farther than the nearest a match may be, as a fraction.", min=0, advanced=True
    )

    def __post_init__(self) -> None:
        if self.window % 2 == 0 or self.window < 3:
            raise UsageError(f"The window must be odd and at least 3, not {self.window}.")


@dataclass(frozen=True)
class TextureSettings:
    """Settings of ``cnnviz.synthesize_texture``.

    Attributes:
        layers: layers whose features are matched, by name or as submodules of your own module; None
            takes the network's default.
        layer_weights: one for each layer; all 1 if None.
        style_loss: ``gram`` (Gatys et al. 2015), ``covariance`` (and mean, compared apart) or ``wasserstein`` (of
            Gaussians).
        distribution_weight: weight of the distance between the distributions of features (``SlicedWasserstein``),
            which keeps the texture even where it is larger than its sample.
        palette_weight: weight of the distance between the colors.
        steps: forward and backward passes, divided among the scales.
        scales: number of sizes, each twice the one before.
        adam_fraction: fraction of the last size's steps that Adam takes after L-BFGS, with a new shift at every step,
            which removes the fine dither that L-BFGS leaves.
        fixed_fraction: fraction of all steps, the last ones, in which the image is not shifted and only the statistic
            is minimized.
        seamless: opposite borders fit, so that the image tiles. Otherwise a reflection is seen beyond the borders,
            which shows in them.
        pooling: ``average`` replaces the network's max pooling, which leaves less noise; ``max`` keeps it.
        tile: largest side of the tiles the network is shown, for textures larger than memory; 0 for the whole, None
            for tiles where the whole does not fit. Distributions are then compared within each tile; all else is as
            in the whole.
    """

    layers: Sequence[str] | None = setting(
        None,
        "Layers whose features are matched; may be repeated.",
        names=("--layer", "-l"),
        metavar="L[,L…]",
        show_default="the network's style layers",
    )
    layer_weights: Sequence[float] | None = setting(
        None, "One weight for each layer.", metavar="W,W,…", show_default="all alike", advanced=True
    )
    style_loss: str = setting("gram", "How textures are compared.", choices=STATISTICS, advanced=True)
    distribution_weight: float = setting(
        1.0, "Weight of the sliced-Wasserstein term; 0 disables it.", min=0, advanced=True
    )
    palette_weight: float = setting(100.0, "Weight of the distance from the sample's colors.", min=0, advanced=True)
    steps: int = setting(200, "Passes through the network, over all sizes.", min=1)
    scales: int = setting(2, "Number of sizes, each twice the last.", min=1, advanced=True)
    adam_fraction: float = setting(
        0.25, "Fraction of the last size's steps run with Adam after L-BFGS.", min=0, max=1, advanced=True
    )
    fixed_fraction: float = setting(
        0.35, "Fraction of all steps, the last ones, without random shifts.", min=0, max=1, advanced=True
    )
    seamless: bool = setting(True, "Opposite borders fit, so that the image tiles.")
    pooling: str = setting(
        "average", "'average' leaves less noise; 'max' is the network's own.", choices=("average", "max"), advanced=True
    )
    tile: int | None = setting(
        None, "Largest side of the tiles the network is shown; 0 for the whole.", min=0, is_option=False
    )

    def __post_init__(self) -> None:
        require_choice("style loss", self.style_loss, STATISTICS)
        require_choice("pooling", self.pooling, ("average", "max"))
        if self.steps < 1 or self.scales < 1:
            raise UsageError("At least one step and one scale are needed.")
        if not (0 <= self.adam_fraction <= 1 and 0 <= self.fixed_fraction <= 1):
            raise UsageError("The fractions of steps must lie between 0 and 1.")
        if self.distribution_weight < 0 or self.palette_weight < 0:
            raise UsageError("Weights must not be negative.")
