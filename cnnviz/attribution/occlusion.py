"""Occlusion: what the network no longer sees when a patch hides part of the picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from cnnviz.attribution.approximate_occlusion import WINDOW_CAP, ApproximationError, drill_down, work
from cnnviz.attribution.occlusion_scores import Engine, score_positions
from cnnviz.attribution.targets import Target, target_indices
from cnnviz.errors import ImageError, UsageError
from cnnviz.imaging.checks import require_pixels
from cnnviz.network import checks
from cnnviz.network.network import Network, at_least_float32

FILLS = ("mean", "grey", "black", "blur", "noise")
SCORES = ("probability", "logit")


@dataclass(frozen=True)
class Sliding:
    """How the patch slides; the fields are the arguments of ``occlusion``, which explains them."""

    patch: int = 32
    stride: int = 8
    fill: str = "mean"
    score: str = "probability"
    batch: int | None = None
    engine: Engine = "auto"
    seed: int = 0
    approximate: bool = False

    def check(self, pixels: Tensor) -> None:
        """Raise UsageError for what is senseless anywhere, ImageError for what does not fit these pictures."""
        height, width = pixels.shape[2:]
        if self.stride < 1:
            raise UsageError(f"The stride must be at least 1 pixel, not {self.stride}.")
        if self.score not in SCORES:
            raise UsageError(f"There is no score '{self.score}'; give one of {', '.join(SCORES)}.")
        if self.engine not in get_args(Engine):
            raise UsageError(f"There is no engine '{self.engine}'; give one of {', '.join(get_args(Engine))}.")
        if not 1 <= self.patch <= min(height, width):
            raise ImageError(
                f"A patch of {self.patch} pixels does not fit a picture of {width}×{height} as the network sees it; "
                f"give --patch 1 to {min(height, width)}."
            )


@dataclass(frozen=True)
class OcclusionGrid:
    """What hiding each patch did to one picture.

    ``tops`` and ``lefts`` are the pixels at which patches of ``patch`` pixels began; ``drops`` (rows, columns) is how
    much of the target's score each took away, negative where the score rose; ``classes`` (rows, columns) is the class
    that won; ``score`` is that of the untouched picture; ``error`` is that of an approximate grid.
    """

    tops: Tensor
    lefts: Tensor
    patch: int
    drops: Tensor
    classes: Tensor
    score: float
    target: int
    error: ApproximationError | None = None

    def spread(self, height: int, width: int) -> Tensor:
        """The drops at every pixel, (height, width): the mean over all patches that hid it.

        Pixels between patches (a stride larger than the patch) take the value of the nearest.
        """
        rows, cols = (
            _cover(starts, self.patch, extent) for starts, extent in ((self.tops, height), (self.lefts, width))
        )
        weights = rows.sum(0)[:, None] * cols.sum(0)[None]
        return rows.T @ self.drops.to(rows) @ cols / weights


def _cover(starts: Tensor, patch: int, extent: int) -> Tensor:
    """Which patches (rows) hide which pixels (columns) along one axis, as 0 and 1."""
    pixels = torch.arange(extent)
    distance = torch.maximum(starts[:, None] - pixels, pixels - (starts[:, None] + patch - 1)).clamp_min(0)
    nearest = distance == distance.amin(0)
    return nearest.double()


def occlusion(
    network: Network,
    pixels: Tensor,
    target: Target = None,
    *,
    patch: int = 32,
    stride: int = 8,
    fill: str = "mean",
    score: str = "probability",
    batch: int | None = None,
    engine: Engine = "auto",
    seed: int = 0,
    approximate: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """How much of the class's score each pixel's surroundings carry: slide a patch, record the drop.

    Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, arXiv:1311.2901. As there,
    the patch hides part of the picture and the probability of the class is recorded; opposed to the paper the map is
    the *drop*, so that what matters is bright, averaged over all patches that hide a pixel.

    Args:
        network: the network to explain.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; each picture's likeliest if None.
        patch, stride: side of the patch and step between patches, in pixels. Patches lie inside the picture; the
            last of a row or column is moved in so as to end at the border.
        fill: what shows instead: ``mean`` (the picture's mean colour), ``grey``, ``black``, ``blur`` (the picture
            blurred by half a patch) or ``noise``.
        score: ``probability`` (after the softmax, or the sigmoid of a single logit) or ``logit``, whose drops are
            smoother where the network is sure.
        batch: positions computed at a time; chosen by their size in memory if None.
        engine: ``incremental`` recomputes only what a patch can reach, ``full`` the whole network; ``auto`` takes
            the first that can.
        seed: of the noise, and of the positions at which an approximation is checked.
        approximate: compute a coarse grid and only the hottest quarter at ``stride``, with windows capped; the
            error this made is in the ``OcclusionGrid`` of ``occlusion_grids``.
        on_progress: called with the number of positions done and of all, of one picture.

    Returns:
        Maps (N, 1, H, W), in units of the score; negative where hiding helps the class.

    Raises:
        UsageError: no such class, fill, score or engine, or a stride of less than 1.
        ImageError: the patch does not fit the picture.
    """
    sliding = Sliding(patch, stride, fill, score, batch, engine, seed, approximate)
    pixels = require_pixels(pixels)
    grids = occlusion_grids(network, pixels, target, sliding, on_progress=on_progress)
    height, width = pixels.shape[2:]
    return torch.stack([grid.spread(height, width).to(grid.drops.dtype) for grid in grids])[:, None]


@torch.no_grad()
def occlusion_grids(
    network: Network,
    pixels: Tensor,
    target: Target = None,
    sliding: Sliding | None = None,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[OcclusionGrid]:
    """The raw grid behind ``occlusion`` for each picture; arguments and errors are those of ``occlusion``."""
    sliding = sliding or Sliding()
    pixels = require_pixels(pixels)
    sliding.check(pixels)
    pixels = pixels.to(network.device, torch.promote_types(pixels.dtype, network.pixel_dtype))
    indices = target_indices(network, network(pixels), target).tolist()
    return [
        _Occlusion(network, picture, index, sliding, on_progress).grid()
        for picture, index in zip(pixels.split(1), indices, strict=True)
    ]


class _Occlusion:
    """One picture under its patches."""

    def __init__(
        self,
        network: Network,
        picture: Tensor,
        target: int,
        sliding: Sliding,
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        self.network, self.picture, self.target, self.sliding = network, picture, target, sliding
        self.tops, self.lefts = (_starts(extent, sliding.patch, sliding.stride) for extent in picture.shape[2:])
        self.positions = [(top, left) for top in self.tops.tolist() for left in self.lefts.tolist()]
        self.before = _score(network, network(picture), target, sliding.score)
        rows, cols = len(self.tops), len(self.lefts)
        self.work = work(rows, cols) if sliding.approximate else rows * cols
        self.done = 0
        self.on_progress = on_progress

    def grid(self) -> OcclusionGrid:
        """What hiding each patch did."""
        sliding, error = self.sliding, None
        if sliding.approximate:
            generator = torch.Generator().manual_seed(sliding.seed)
            drops, classes, error = drill_down(self.tops, self.lefts, self.effects, generator)
        else:
            shape = len(self.tops), len(self.lefts)
            drops, classes = (values.view(shape).cpu() for values in self.effects(range(len(self.positions)), True))
        return OcclusionGrid(
            self.tops, self.lefts, sliding.patch, drops, classes, float(self.before), self.target, error
        )

    def effects(self, chosen: Sequence[int], exact: bool) -> tuple[Tensor, Tensor]:
        """The drops (P,) and winning classes (P,) at the ``chosen`` positions."""
        network, sliding = self.network, self.sliding
        fill_pixels = network.normalize(fill_for(self.picture, sliding.fill, sliding.patch, sliding.seed))
        with network.autocast():
            output = score_positions(
                network.graph,
                network.normalize(self.picture),
                [self.positions[index] for index in chosen],
                sliding.patch,
                fill_pixels,
                batch=sliding.batch,
                on_progress=self._tell if self.on_progress else None,
                engine=sliding.engine,
                window_cap=1.0 if exact else WINDOW_CAP,
            )
        logits = checks.require_finite(at_least_float32(output), "logits under the patches", network, self.picture)
        self.done += len(chosen)
        return self.before - _score(network, logits, self.target, sliding.score), logits.argmax(1)

    def _tell(self, done: int, total: int) -> None:
        assert self.on_progress is not None
        self.on_progress(self.done + done, self.work)


def _starts(extent: int, patch: int, stride: int) -> Tensor:
    """Where patches begin along one axis: every ``stride`` pixels, the last one flush with the border."""
    starts = list(range(0, extent - patch + 1, stride))
    if starts[-1] != extent - patch:
        starts.append(extent - patch)
    return torch.tensor(starts)


def fill_for(picture: Tensor, fill: str, patch: int, seed: int) -> Tensor:
    """What shows through the patches of a picture (1, 3, H, W), as a picture of the same shape."""
    if fill == "mean":
        return picture.mean((2, 3), keepdim=True).expand_as(picture)
    if fill in ("grey", "black"):
        return torch.full_like(picture, 0.5 if fill == "grey" else 0.0)
    if fill == "blur":
        return blurred(picture, patch / 2)
    if fill == "noise":
        noise = torch.rand(picture.shape, generator=torch.Generator().manual_seed(seed), dtype=picture.dtype)
        return noise.to(picture.device)
    raise UsageError(f"There is no fill '{fill}'; give one of {', '.join(FILLS)}.")


def blurred(picture: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur, border pixels repeated outwards."""
    reach = int(3 * sigma) + 1
    offsets = torch.arange(-reach, reach + 1, dtype=picture.dtype, device=picture.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    wide = F.pad(picture, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(wide, kernel, groups=3), kernel.transpose(2, 3), groups=3)


def _score(network: Network, logits: Tensor, index: int, score: str) -> Tensor:
    return (network.probabilities(logits) if score == "probability" else logits)[:, index]
