"""How a style is transferred: all that can be set, and what makes no sense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.synthesis.feature_statistics import distance

_SHIFT = 8
"""Pixels, the stride of the content's layers and half that of the deepest in use."""


@dataclass(frozen=True)
class StyleSettings:
    """How a style is transferred. All weights are those of relative losses: 1 is what a blank picture would have.

    Attributes:
        content_weight: more keeps more of the photo.
        style_weight: of the sum over the style layers.
        palette_weight: of the distance between the colours of picture and style, which keeps foreign colours out.
        tv_weight: more makes smoother pictures; of the mean squared difference of neighbouring pixels.
        lightness_weight: of the photo's light and shade, coarsely, with the style's contrast.
        content_target: ``adain`` asks for the photo's features with the style's contrasts; ``photo`` for the
            features as they are (Gatys 2016).
        content_layers: None takes the network's default, as do
        style_layers: where the style is read from.
        layer_weights: one for each style layer; all 1 if None; ``falling`` makes each a quarter of the one before, and
            their mean 1 (256:64:16:4:1 for VGG, as Crowson's style-transfer-pytorch has them).
        style_loss: ``gram`` (Gatys 2016), ``covariance`` (and mean, apart) or ``wasserstein`` (of Gaussians).
        steps: evaluations of the network, forward and backward, shared among the scales.
        scales: how many sizes, each twice the one before, the picture is painted at; None takes as many as are
            128 pixels or more.
        optimizer: ``lbfgs`` or ``adam``.
        polish: share of the steps in which each size is gone over with Adam, moved about at every step, which ends
            the fine dither that L-BFGS leaves.
        in_place: share of the last size's steps in which the picture is no longer moved: it lowers the loss seen from
            that place, and brings a trace of the grid back.
        learning_rate: Adam's, in pixel units; it falls along a cosine at each size.
        init: what is painted over: the ``content``, ``noise``, or a picture (1, 3, h, w).
        style_scale: size of the style pictures relative to the content: more makes larger strokes.
        fade: share of a style picture's sides over which it counts for less and less towards the border, so that its
            frame is not painted as one.
        keep_color: ``none``; ``luminance`` paints light and dark only; ``covariance`` gives the style the photo's
            colours first.
        average: decay of an exponential average of Adam's pictures, as 0.99, which is shown in their place; 0 shows
            the last.
        carry: Adam's moments are carried over from size to size.
        average_pooling: averages where the network takes maxima, which leaves less noise.
        rescale_pooling: averages are scaled to what maxima would be, see ``with_average_pooling``.
        smoothing: of the activations of residual networks (Wang et al. 2021, ``cnnviz.style.smoothing``): ``none``,
            ``softmax``, or ``scaled``, in which layer3 and layer4 count for next to nothing.
        shift: pixels by which the picture is moved about in the network's grid; 0 leaves it in place.
        tile: largest side of the pieces the network is shown, for pictures larger than memory; the painting is the
            same. 0 shows it the whole, None pieces where the whole does not fit.
    """

    content_weight: float = 1.0
    style_weight: float = 1.0
    palette_weight: float = 20.0
    tv_weight: float = 1e-2
    lightness_weight: float = 0.5
    content_target: str = "restyled"
    content_layers: Sequence[str] | None = None
    style_layers: Sequence[str] | None = None
    layer_weights: Sequence[float] | str | None = None
    style_loss: str = "covariance"
    steps: int = 240
    scales: int | None = None
    optimizer: str = "lbfgs"
    polish: float = 0.375
    in_place: float = 0.0
    learning_rate: float = 0.05
    init: str | Tensor = "content"
    style_scale: float = 1.0
    fade: float = 0.08
    keep_color: str = "none"
    average: float = 0.0
    carry: bool = True
    average_pooling: bool = True
    rescale_pooling: bool = False
    smoothing: str = "none"
    shift: int = _SHIFT
    tile: int | None = None

    def __post_init__(self) -> None:
        distance(self.style_loss)
        _one_of("optimizer", self.optimizer, ("lbfgs", "adam"))
        _one_of("keep_color", self.keep_color, ("none", "luminance", "covariance"))
        _one_of("smoothing", self.smoothing, ("none", "softmax", "scaled"))
        if isinstance(self.layer_weights, str):
            _one_of("layer weights", self.layer_weights, ("falling",))
        if not 0 <= self.average < 1:
            raise UsageError(f"The average's decay must lie between 0 and 1, as 0.99, not {self.average}.")
        if self.smoothing == "softmax" and self.tile:
            raise UsageError("A softmax is over the whole picture, which cannot be seen in tiles: leave out the tile.")
        if isinstance(self.init, str):
            _one_of("init", self.init, ("content", "noise"))
        _one_of("content_target", self.content_target, ("restyled", "photo"))
        weights = (self.content_weight, self.style_weight, self.palette_weight, self.tv_weight, self.lightness_weight)
        if min(weights) < 0:
            raise UsageError("Weights must not be negative.")
        if not (0 <= self.polish <= 1 and 0 <= self.in_place <= 1):
            raise UsageError("The shares of steps must lie between 0 and 1.")
        if not 0 <= self.fade <= 0.5:
            raise UsageError(f"The share that fades must lie between 0 and 0.5, not {self.fade}.")
        if self.content_weight + self.style_weight <= 0:
            raise UsageError("Either the content or the style needs a weight above 0.")
        if not 0.05 <= self.style_scale <= 10:
            raise UsageError(f"The style's scale must lie between 0.05 and 10, not {self.style_scale}.")
        if self.steps < 1 or (self.scales is not None and self.scales < 1):
            raise UsageError("At least one step and one scale are needed.")


def _one_of(name: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise UsageError(f"There is no {name} '{given}'; there are {', '.join(known)}.")
