"""Settings of style transfer and of fast style networks: frozen dataclasses in which each default is written once.

Imports no torch, so that a command line can show the defaults without waiting for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cnnviz.errors import UsageError
from cnnviz.settings import setting
from cnnviz.synthesis.settings import STATISTICS, require_choice

CONTENT_TARGETS = ("restyled", "photo")
COLOR_MODES = ("none", "luminance", "covariance")
OPTIMIZERS = ("lbfgs", "adam")
POOLINGS = ("average", "rescaled", "max")
INITIAL_IMAGES = ("content", "noise")
SMOOTHINGS = ("none", "softmax", "scaled")

STYLE_SIZE = 320
"""Pixels of the shorter side at which an image is looked at by ``AnyStyleNetwork``. Trained at 256: more shows finer
texture, as the tiles of a mosaic, and from about 512 on other colors than the image's."""

LEAST_STYLE_SIZE = 32


@dataclass(frozen=True)
class StyleSettings:
    """Settings of ``cnnviz.transfer_style``. All weights are of relative losses: 1 is the loss of a blank image.

    Attributes:
        content_weight: more keeps more of the photo.
        style_weight: weight of the sum over the style layers.
        palette_weight: weight of the distance between the colors of image and style, which keeps foreign colors out.
        tv_weight: weight of the total variation, the mean squared difference of neighboring pixels; more is smoother.
        lightness_weight: weight of the photo's coarse light and shade, with the style's contrast.
        content_target: ``restyled`` asks for the photo's features with the style's mean and deviation (AdaIN);
            ``photo`` for the features as they are (Gatys et al. 2016).
        content_layers: layers of the content loss, by name or as submodules of your own module; None
            takes the network's default.
        style_layers: layers of the style loss, likewise; None takes the network's default.
        layer_weights: one for each style layer; all 1 if None; ``falling`` makes each a quarter of the one before, and
            their mean 1 (256:64:16:4:1 for VGG, as in Crowson's style-transfer-pytorch).
        style_loss: ``gram`` (Gatys et al. 2016), ``covariance`` (and mean, compared apart) or ``wasserstein`` (of
            Gaussians).
        steps: forward and backward passes, divided among the scales.
        scales: number of sizes, each twice the one before; None takes as many as are 128 pixels or more.
        optimizer: ``lbfgs`` or ``adam``.
        adam_fraction: fraction of the steps at each size that Adam takes after L-BFGS, with a new shift at every
            step, which removes the fine dither that L-BFGS leaves.
        fixed_fraction: fraction of the last size's steps in which the image is no longer shifted: it lowers the loss
            seen from that position, and brings a trace of the stride grid back.
        learning_rate: Adam's, in pixel units; it falls along a cosine at each size.
        init: initial image: ``content``, ``noise``, or pixels (1, 3, h, w).
        style_scale: size of the style images relative to the content: more makes larger strokes.
        fade: fraction of a style image's sides over which its weight falls toward the border, so that its frame is
            not painted.
        keep_color: ``none``; ``luminance`` transfers lightness only; ``covariance`` first gives the style the photo's
            colors.
        average: decay of an exponential moving average of Adam's images, as 0.99, which is shown in their place; 0
            shows the last.
        keep_adam_state: Adam's moments are resampled from size to size instead of being reset.
        pooling: ``average`` replaces the network's max pooling, which leaves less noise; ``rescaled`` scales these
            averages to the size of maxima (see ``with_average_pooling``); ``max`` keeps the network's own.
        smoothing: smoothing of the activations of residual networks (Wang et al. 2021, ``cnnviz.style.smoothing``):
            ``none``, ``softmax``, or ``scaled``, in which layer3 and layer4 have almost no weight.
        shift: largest random shift in the network's stride grid, in pixels; 0 leaves the image fixed.
        tile: largest side of the tiles the network is shown, for images larger than memory; the result is the same.
            0 shows it the whole, None tiles where the whole does not fit.
    """

    content_weight: float = setting(1.0, "Weight of the content.", min=0)
    style_weight: float = setting(1.0, "Weight of the style.", min=0)
    palette_weight: float = setting(20.0, "Weight of the distance from the style's colors.", min=0, advanced=True)
    tv_weight: float = setting(0.01, "Weight of the total variation; more is smoother.", min=0, advanced=True)
    lightness_weight: float = setting(0.5, "Weight of the photo's light and shade.", min=0, advanced=True)
    content_target: str = setting(
        "restyled",
        "The photo's features with the style's contrasts, or as they are.",
        choices=CONTENT_TARGETS,
        advanced=True,
    )
    content_layers: Sequence[str] | None = setting(
        None,
        "Layers of the content loss; may be repeated.",
        names=("--content-layer",),
        metavar="L[,L…]",
        show_default="the network's",
        advanced=True,
    )
    style_layers: Sequence[str] | None = setting(
        None,
        "Layers of the style loss; may be repeated.",
        names=("--style-layer",),
        metavar="L[,L…]",
        show_default="the network's",
        advanced=True,
    )
    layer_weights: Sequence[float] | str | None = setting(
        None,
        "One weight for each style layer, or 'falling': each a quarter of the one before.",
        choices=("falling",),
        metavar="W,W,…",
        show_default="all alike",
        advanced=True,
    )
    style_loss: str = setting("covariance", "How textures are compared.", choices=STATISTICS, advanced=True)
    steps: int = setting(240, "Passes through the network, over all sizes.", min=1)
    scales: int | None = setting(
        None, "Number of sizes, each twice the last.", min=1, show_default="from 128 px on", advanced=True
    )
    optimizer: str = setting("lbfgs", "Optimizer of the image.", choices=OPTIMIZERS, advanced=True)
    adam_fraction: float = setting(
        0.375, "Fraction of steps at each size run with Adam after L-BFGS.", min=0, max=1, advanced=True
    )
    fixed_fraction: float = setting(
        0.0, "Fraction of the last size's steps without random shifts.", min=0, max=1, advanced=True
    )
    learning_rate: float = setting(0.05, "Adam's learning rate.", min=1e-4, advanced=True)
    init: Any = setting("content", "Initial image: 'content', 'noise', or pixels.", is_option=False)
    style_scale: float = setting(1.0, "Size of the style images: larger strokes with more.", min=0.05, max=10)
    fade: float = setting(0.08, "Outer fraction of a style image that fades out, frame and all.", min=0, max=0.5)
    keep_color: str = setting(
        "none", "Keep the photo's colors: transfer lightness only, or recolor the style.", choices=COLOR_MODES
    )
    average: float = setting(
        0.0, "Decay of a moving average of Adam's images, as 0.99.", min=0, max=0.9999, advanced=True
    )
    keep_adam_state: bool = setting(True, "Keep Adam's moments from size to size.", advanced=True)
    pooling: str = setting(
        "average",
        "'max' is the network's own; 'rescaled' averages are as large as maxima.",
        choices=POOLINGS,
        advanced=True,
    )
    smoothing: str = setting(
        "none", "Smoothing of the features of residual networks (Wang et al. 2021).", choices=SMOOTHINGS, advanced=True
    )
    shift: int = setting(
        8, "Largest random shift, in pixels, of the image in the stride grid.", min=0, max=64, advanced=True
    )
    tile: int | None = setting(
        None, "Largest side of the tiles the network is shown; 0 for the whole.", min=0, is_option=False
    )

    def __post_init__(self) -> None:
        require_choice("style loss", self.style_loss, STATISTICS)
        require_choice("optimizer", self.optimizer, OPTIMIZERS)
        require_choice("keep_color", self.keep_color, COLOR_MODES)
        require_choice("smoothing", self.smoothing, SMOOTHINGS)
        require_choice("pooling", self.pooling, POOLINGS)
        require_choice("content_target", self.content_target, CONTENT_TARGETS)
        if isinstance(self.layer_weights, str):
            require_choice("layer weights", self.layer_weights, ("falling",))
        if isinstance(self.init, str):
            require_choice("init", self.init, INITIAL_IMAGES)
        if not 0 <= self.average < 1:
            raise UsageError(f"The average's decay must lie between 0 and 1, as 0.99, not {self.average}.")
        if self.smoothing == "softmax" and self.tile:
            raise UsageError("A softmax over the whole image cannot be computed in tiles: leave out the tile.")
        weights = (self.content_weight, self.style_weight, self.palette_weight, self.tv_weight, self.lightness_weight)
        if min(weights) < 0:
            raise UsageError("Weights must not be negative.")
        if not (0 <= self.adam_fraction <= 1 and 0 <= self.fixed_fraction <= 1):
            raise UsageError("The fractions of steps must lie between 0 and 1.")
        _require_fade(self.fade)
        if self.content_weight + self.style_weight <= 0:
            raise UsageError("Either the content or the style needs a weight above 0.")
        if not 0.05 <= self.style_scale <= 10:
            raise UsageError(f"The style's scale must lie between 0.05 and 10, not {self.style_scale}.")
        if self.steps < 1 or (self.scales is not None and self.scales < 1):
            raise UsageError("At least one step and one scale are needed.")


@dataclass(frozen=True)
class FastStyleConfig:
    """Architecture of a ``FastStyleNetwork``.

    Attributes:
        widths: channels at full, half and quarter resolution.
        blocks: residual blocks at the quarter resolution.
        kernel: side of the first and last kernels, odd.
        noise: whether noise maps are concatenated to the photo.
        skips: whether features of full and half resolution are added to those of the upsampling layers.
        up_widths: channels of the upsampling layers, at half and full resolution; None takes those of ``widths``.
        plain_down: whether the first three layers have a bias instead of a normalization, as in Ghiasi et al.
    """

    widths: tuple[int, int, int] = (16, 32, 64)
    blocks: int = 5
    kernel: int = 9
    noise: bool = True
    skips: bool = True
    up_widths: tuple[int, int] | None = None
    plain_down: bool = False

    def __post_init__(self) -> None:
        if len(self.widths) != 3 or min(self.widths) < 1 or self.blocks < 0:
            raise UsageError("A fast style network has three widths of at least 1, and no fewer than 0 blocks.")
        if self.up_widths is not None and (len(self.up_widths) != 2 or min(self.up_widths) < 1 or self.skips):
            raise UsageError("Widths of their own for upsampling are two, of at least 1, and there are no skips then.")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise UsageError(f"The outer kernels need an odd side, not {self.kernel}.")

    @property
    def margin(self) -> int:
        """Pixels of reflection to paint around an image and to crop: how far in its border shows."""
        return 12 if self.noise else 32

    @property
    def reach(self) -> int:
        """Pixels to each side that one output pixel depends on, apart from the normalization's statistics."""
        outer, down, blocks, up = 2 * (self.kernel // 2), 1 + 2, 8 * self.blocks, 4 + 2
        return outer + down + blocks + up + 4  # 4: nearest-neighbor enlargement looks up to a quarter's cell away


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of ``cnnviz.train_fast_style``. The losses are relative, as ``transfer_style``'s.

    Content and smoothness weigh more than there: unlike an image, a network does not start as the photo.

    Attributes:
        widths: channels of the network at full, half and quarter resolution.
        blocks: residual blocks of the network.
        steps: updates of the parameters.
        batch: crops in each.
        crop: side of the crops in pixels, a multiple of 4.
        learning_rate: Adam's, after a warm-up; in the last third it falls to nothing.
        content_weight: weight of the content; see ``StyleSettings`` for these four.
        style_weight: weight of the style.
        palette_weight: weight of the colors.
        tv_weight: weight of the total variation.
        lightness_weight: weight of the photo's coarse light and shade, with the style's contrast.
        content_target: ``restyled`` or ``photo``; see ``StyleSettings``.
        content_layers: layers of the content loss, by name or as submodules of your own module; None
            takes the loss network's default.
        style_layers: layers of the style loss, likewise; None takes the loss network's default.
        style_loss: ``gram``, ``covariance`` or ``wasserstein``.
        style_size: the style images' shorter side; smaller makes smaller strokes.
        fade: outer fraction of a style image whose weight falls toward the border, so that its frame is not learned.
        average_pooling: the loss network averages where it takes maxima.
        augment: vary the colors and sharpness of crops, for few photos.
        held_out: photos kept back, a quarter of all at most: previews show them, and the loss on them tells whether
            the training still improves. With 0, or fewer than 4 photos, previews show crops trained on.
        precision: ``fp32``, or ``bf16`` or ``fp16`` for mixed precision.
    """

    widths: tuple[int, int, int] = setting(
        FastStyleConfig.widths, "Channels at full, half and quarter resolution.", is_option=False
    )
    blocks: int = setting(FastStyleConfig.blocks, "Residual blocks.", min=0, max=100, advanced=True)
    steps: int = setting(20_000, "Updates of the parameters.", min=1)
    batch: int = setting(4, "Crops in each update.", min=1, max=4096)
    crop: int = setting(256, "Side of the crops in pixels, a multiple of 4.", min=32, max=16_384)
    learning_rate: float = setting(2e-3, "Adam's learning rate, at first.", advanced=True)
    content_weight: float = setting(1.5, "Weight of the content.", min=0)
    style_weight: float = setting(1.0, "Weight of the style.", min=0)
    palette_weight: float = setting(20.0, "Weight of the distance from the style's colors.", min=0, advanced=True)
    tv_weight: float = setting(1.0, "Weight of the total variation; more is smoother.", min=0, advanced=True)
    lightness_weight: float = setting(1.0, "Weight of the photo's light and shade.", min=0, advanced=True)
    content_target: str = setting(
        "restyled",
        "The photo's features with the style's contrasts, or as they are.",
        choices=CONTENT_TARGETS,
        advanced=True,
    )
    content_layers: Sequence[str] | None = setting(None, "Layers of the content loss.", is_option=False)
    style_layers: Sequence[str] | None = setting(None, "Layers of the style loss.", is_option=False)
    style_loss: str = setting("covariance", "How textures are compared.", choices=STATISTICS, is_option=False)
    style_size: int = setting(384, "Shorter side of the style images; smaller makes finer strokes.", min=64, max=16_384)
    fade: float = setting(
        0.08, "Outer fraction of a style image that fades out, frame and all.", min=0, max=0.5, advanced=True
    )
    average_pooling: bool = setting(True, "Replace the loss network's max pooling by averages.", is_option=False)
    augment: bool = setting(True, "Vary the photos' colors and sharpness.", advanced=True)
    held_out: int = setting(3, "Photos kept back for previews.", min=0, max=64, advanced=True)
    precision: str = setting("fp32", "What the trained network computes in.", is_option=False)

    def __post_init__(self) -> None:
        require_choice("style loss", self.style_loss, STATISTICS)
        require_choice("content_target", self.content_target, CONTENT_TARGETS)
        if self.steps < 1 or self.batch < 1:
            raise UsageError("Training takes at least one step of at least one crop.")
        if self.crop < 32 or self.crop % 4:
            raise UsageError(f"The crop's side must be a multiple of 4 from 32 on, not {self.crop}.")
        weights = (self.content_weight, self.style_weight, self.palette_weight, self.tv_weight, self.lightness_weight)
        if min(weights) < 0:
            raise UsageError("The weights of losses must not be negative.")
        if self.held_out < 0:
            raise UsageError(f"The number of photos kept back must not be negative, not {self.held_out}.")
        _require_fade(self.fade)
        if self.learning_rate <= 0:
            raise UsageError(f"The learning rate must be positive, not {self.learning_rate}.")


def _require_fade(fade: float) -> None:
    if not 0 <= fade <= 0.5:
        raise UsageError(f"The fading fraction must lie between 0 and 0.5, not {fade}.")
