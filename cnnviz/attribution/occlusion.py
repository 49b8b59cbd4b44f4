"""Occlusion: how much the score of a class drops when a patch hides part of the image."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cnnviz.attribution.incremental.errors import NotIncremental
from cnnviz.attribution.occlusion_scores import score_positions
from cnnviz.attribution.settings import FILLS, Algorithm, OcclusionSettings
from cnnviz.attribution.targets import (
    Contrast,
    ResolvedOnce,
    Target,
    TargetFunction,
    measures,
    target_scores,
    targets_of,
)
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_pixels
from cnnviz.imaging.pixel_ops import gaussian_blur
from cnnviz.network import checks
from cnnviz.network.network import Network
from cnnviz.runtime.precision import at_least_float32
from cnnviz.runtime.progress import OnStep


@dataclass(frozen=True)
class OcclusionGrid:
    """The effect of each patch on the score of one image.

    Args:
        tops: (rows,), the first row of pixels of each row of patches.
        lefts: (columns,), the first column of pixels of each column of patches.
        patch: side of the patches in pixels.
        score_drops: (rows, columns), the clean score minus the occluded score; negative where the score rose.
        classes: (rows, columns), the class predicted for the occluded image; of a network of one sigmoid 0, or 1 where
            its class is the less likely.
        score: the target's score on the clean image.
        target: index of the class, or the function that is explained.
    """

    tops: Tensor
    lefts: Tensor
    patch: int
    score_drops: Tensor
    classes: Tensor
    score: float
    target: int | TargetFunction

    def to_pixels(self, height: int, width: int) -> Tensor:
        """The score drop at every pixel, (height, width): the mean over all patches that covered it.

        Pixels between patches (where the stride is larger than the patch) take the value of the nearest patch.
        """
        rows, cols = (
            _coverage(starts, self.patch, extent) for starts, extent in ((self.tops, height), (self.lefts, width))
        )
        weights = rows.sum(0)[:, None] * cols.sum(0)[None]
        return rows.T @ self.score_drops.to(rows) @ cols / weights


def _coverage(starts: Tensor, patch: int, extent: int) -> Tensor:
    """Which patches (rows) cover which pixels (columns) along one axis, as 0 and 1."""
    pixels = torch.arange(extent)
    distance = torch.maximum(starts[:, None] - pixels, pixels - (starts[:, None] + patch - 1)).clamp_min(0)
    nearest = distance == distance.amin(0)
    return nearest.double()


def occlusion(
    network: Network,
    pixels: Tensor,
    target: Target = None,
    *,
    patch: int = OcclusionSettings.patch,
    stride: int = OcclusionSettings.stride,
    fill: str = OcclusionSettings.fill,
    score: str = OcclusionSettings.score,
    batch: int | None = OcclusionSettings.batch,
    algorithm: Algorithm = OcclusionSettings.algorithm,
    seed: int = OcclusionSettings.seed,
    on_step: OnStep | None = None,
    engine: Algorithm | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    approximate: bool | None = None,
) -> Tensor:
    """Score drop of a class when a patch hides each part of the image.

    Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, arXiv:1311.2901. Unlike the
    paper, which maps the score, this maps its *drop*, so that what matters is bright, averaged over all patches that
    cover a pixel.

    Args:
        network: the network to explain.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; the class predicted for each image if None. Or what ``saliency`` takes.
        patch: side of the square patch in pixels.
        stride: step between patches in pixels. All patches lie inside the image; the last of a row or column is
            moved to end at the border.
        fill: what replaces the hidden pixels: ``mean`` (the image's mean color), ``gray``, ``black``, ``blur`` (the
            image blurred by half a patch) or ``noise``.
        score: ``probability`` (after the network's activation) or ``logit``, which varies more smoothly where the
            network is certain. A target that is a function has its own score; of a class compared with another
            (``Versus``) it is the log-odds of the two.
        batch: number of patch positions computed at a time; chosen by memory if None.
        algorithm: ``incremental`` recomputes only what a patch changes, ``full`` the whole network; ``auto`` is
            ``incremental`` where the network allows it.
        seed: of the noise.
        on_step: called with a ``Step`` as positions are done; ``step`` of ``total`` counts those of one image.
        engine, on_progress, approximate: deprecated. ``engine`` is now ``algorithm``; ``on_progress(done, total)`` is
            now ``on_step``; ``approximate`` has no effect, every position is computed.

    Returns:
        Maps (N, 1, H, W), in units of the score; negative where hiding raises the score.

    Raises:
        UsageError: no such class, fill, score or algorithm, or a stride below 1.
        ImageError: the patch does not fit the image.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.occlusion(network, pixels, "tabby", patch=16, stride=16).shape
        torch.Size([1, 1, 64, 96])
    """
    if engine is not None:
        warnings.warn("occlusion(engine=...) is now occlusion(algorithm=...)", DeprecationWarning, stacklevel=2)
        algorithm = engine
    if on_progress is not None:
        warnings.warn("occlusion(on_progress=...) is now occlusion(on_step=...)", DeprecationWarning, stacklevel=2)
        report = on_progress
        on_step = on_step or (lambda step: report(step.step, step.total))
    if approximate is not None:
        what = "occlusion(approximate=...) has no effect any more: every position is computed"
        warnings.warn(what, DeprecationWarning, stacklevel=2)
    settings = OcclusionSettings(patch, stride, fill, score, batch, algorithm, seed)
    pixels = require_pixels(pixels, network.spec.channels)
    grids = occlusion_grids(network, pixels, target, settings, on_step=on_step)
    height, width = pixels.shape[2:]
    return torch.stack([grid.to_pixels(height, width).to(grid.score_drops.dtype) for grid in grids])[:, None]


@torch.no_grad()
def occlusion_grids(
    network: Network,
    pixels: Tensor,
    target: Target | ResolvedOnce = None,
    settings: OcclusionSettings | None = None,
    *,
    on_step: OnStep | None = None,
) -> list[OcclusionGrid]:
    """The score drop of each patch position, one grid for each image; arguments and errors as for ``occlusion``."""
    settings = settings or OcclusionSettings()
    pixels = require_pixels(pixels, network.spec.channels)
    height, width = pixels.shape[2:]
    network.require_size((height, width))
    settings.validate(height, width)
    pixels = pixels.to(network.device, torch.promote_types(pixels.dtype, network.pixel_dtype))
    once = ResolvedOnce.of(target)
    if once.logits is None:  # of each by itself: the last bits of a map are not to follow the others
        once.logits = torch.cat([network(image) for image in pixels.split(1)])
    parts = zip(pixels.split(1), once.logits.split(1), targets_of(network, once.logits, once), strict=True)
    return [_Occlusion(network, *part, settings, on_step).grid() for part in parts]


class _Occlusion:
    """The occlusion of one image (1, 3, H, W), with the ``logits`` (1, classes) of the whole of it."""

    def __init__(
        self,
        network: Network,
        image: Tensor,
        logits: Tensor,
        target: int | TargetFunction,
        settings: OcclusionSettings,
        on_step: OnStep | None,
    ) -> None:
        self.network, self.image, self.target, self.settings = network, image, target, settings
        self.tops, self.lefts = (_starts(extent, settings.patch, settings.stride) for extent in image.shape[2:])
        self.positions = [(top, left) for top in self.tops.tolist() for left in self.lefts.tolist()]
        self.clean_score = hidden_score(network, logits, target, settings.score)
        self.on_step = on_step

    def grid(self) -> OcclusionGrid:
        """The score drop at every position."""
        shape = len(self.tops), len(self.lefts)
        drops, classes = (values.view(shape).cpu() for values in self._drops())
        return OcclusionGrid(
            self.tops, self.lefts, self.settings.patch, drops, classes, float(self.clean_score), self.target
        )

    def _drops(self) -> tuple[Tensor, Tensor]:
        """The score drops (P,) and predicted classes (P,) at all positions."""
        network, settings = self.network, self.settings
        fill_pixels = network.normalize(make_fill(self.image, settings.fill, settings.patch, settings.seed))
        try:
            with network.autocast():
                output = score_positions(
                    network.forward_pass,
                    network.normalize(self.image),
                    self.positions,
                    settings.patch,
                    fill_pixels,
                    batch=settings.batch or self._batch_of_black_box(),
                    on_step=self.on_step,
                    algorithm=settings.algorithm,
                )
        except NotIncremental as error:
            raise UsageError(f"{network.name} allows no incremental occlusion: {error}.") from error
        logits = checks.require_finite(at_least_float32(output), "logits under the patches", network, self.image)
        drops = self.clean_score - hidden_score(network, logits, self.target, settings.score)
        return drops, winners(network, logits)

    def _batch_of_black_box(self) -> int | None:
        black_box, (height, width) = self.network.black_box, self.image.shape[2:]
        return black_box.batch_size((height, width), self.network.spec.channels) if black_box else None


def _starts(extent: int, patch: int, stride: int) -> Tensor:
    """The first pixel of each patch along one axis: every ``stride`` pixels, the last patch at the border."""
    starts = list(range(0, extent - patch + 1, stride))
    if starts[-1] != extent - patch:
        starts.append(extent - patch)
    return torch.tensor(starts)


def make_fill(image: Tensor, fill: str, patch: int, seed: int) -> Tensor:
    """The pixels that replace what the patches hide, of the same shape as ``image`` (1, 3, H, W)."""
    if fill == "mean":
        return image.mean((2, 3), keepdim=True).expand_as(image)
    if fill in ("gray", "grey", "black"):
        return torch.full_like(image, 0.0 if fill == "black" else 0.5)
    if fill == "blur":
        return replicate_blur(image, patch / 2)
    if fill == "noise":
        noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(seed), dtype=image.dtype)
        return noise.to(image.device)
    raise UsageError(f"There is no fill '{fill}'; the choices are {', '.join(FILLS)}.")


def replicate_blur(pixels: Tensor, sigma: float) -> Tensor:
    """Pixels (N, 3, H, W) blurred by a Gaussian, the border repeated outwards, cut off beyond three sigma."""
    return gaussian_blur(pixels, sigma, radius=int(3 * sigma) + 1, padding="replicate")


def hidden_score(network: Network, logits: Tensor, target: int | TargetFunction, score: str) -> Tensor:
    """The score (N,) of images with parts hidden, by their logits: ``probability`` or ``logit``."""
    if score == "probability" and not isinstance(target, Contrast):
        return measures(network, logits, target)
    return target_scores(network, logits, [target] * len(logits))


def winners(network: Network, logits: Tensor) -> Tensor:
    """The class (N,) with the largest of the logits (N, classes); of one sigmoid 1 where its class is unlikely."""
    return (
        (logits[:, 0] < 0).long()
        if network.chosen_activation == "sigmoid" and logits.shape[1] == 1
        else logits.argmax(1)
    )
