"""Foreground and background without supervision: GrabCut that begins from a map of what matters."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cnnviz.errors import ImageError, UsageError
from cnnviz.imaging import smooth, upsample

_SPECK, _HOLE = 0.02, 0.005  # parts below this share of the largest are dropped, gaps below this of all filled
_EVERYTHING = 0.97  # of the picture in the foreground: nothing was cut
_LEAST_SAMPLES = 5  # pixels on either side: GrabCut fits five Gaussians to each


def require_opencv() -> Any:
    """OpenCV, which is imported nowhere else; UsageError with the remedy where it cannot be."""
    try:
        import cv2
    except ImportError as error:  # also where a system library is missing, as libGL on servers
        raise UsageError(
            f"GrabCut needs OpenCV, which cannot be imported ({error}): 'pip install opencv-python', "
            "or 'pip install opencv-python-headless' on servers without a screen."
        ) from error
    return cv2


def segment_foreground(
    pixels: Tensor,
    saliency_map: Tensor,
    *,
    foreground: float = 95.0,
    background: float = 30.0,
    smoothing: float = 0.04,
    iterations: int = 5,
    side: int = 512,
    seed: int = 0,
) -> Tensor:
    """The object a network saw, cut out by GrabCut that a saliency map tells where to begin.

    Simonyan, Vedaldi & Zisserman, "Deep Inside Convolutional Networks", ICLR workshop 2014, arXiv:1312.6034, section
    3.2; Rother, Kolmogorov & Blake, "GrabCut: Interactive Foreground Extraction Using Iterated Graph Cuts", ACM
    Transactions on Graphics 23(3), SIGGRAPH 2004.

    The seeds are Simonyan's percentiles. Opposed to there the cut is iterated (GrabCut, not one GraphCut); the map is
    smoothed first, for seeds of single pixels are mostly noise; and only the foreground's seeds are final: what lies
    below ``background`` *begins* as background and all else as foreground, as inside Rother's rectangle, for an even
    patch within the object is dark in a saliency map and would be lost (where that leaves no background, the
    background's seeds are made final too and the cut is repeated). Parts that hold no
    seed, and specks, are dropped; small holes are filled.

    The cut is made on the picture reduced to ``side``, since its time grows faster than the pixels, and the mask is
    enlarged with a smooth outline: details finer than 1/``side`` of a large photo are not followed.

    Args:
        pixels: (N, 3, H, W), RGB in [0, 1], at any size.
        saliency_map: (N, 1, h, w), larger where it matters more; of any size, taken to cover the same picture.
        foreground, background: percentiles of the map above and below which lie the seeds.
        smoothing: deviation of the Gaussian the map is smoothed with, as a share of its shorter side.
        iterations: of GrabCut.
        side: longest side GrabCut works at, in pixels; larger pictures are reduced.
        seed: of the clustering its colour models begin with.

    Returns:
        Masks (N, 1, H, W), bool, True in the foreground.

    Raises:
        UsageError: OpenCV cannot be imported; shapes that do not belong together; percentiles out of order.
        ImageError: a map that is the same everywhere, or a picture of too few pixels.
    """
    if not 0 < background < foreground < 100:
        raise UsageError(f"Percentiles must be 0 < background < foreground < 100, not {background:g}, {foreground:g}.")
    if pixels.ndim != 4 or pixels.shape[1] != 3 or saliency_map.shape[:2] != (pixels.shape[0], 1):
        raise UsageError(
            f"Pixels (N, 3, H, W) need maps (N, 1, h, w), not {tuple(pixels.shape)} and {tuple(saliency_map.shape)}."
        )
    cv2 = require_opencv()
    masks = []
    for picture, found in zip(pixels, saliency_map[:, 0], strict=True):
        colors = _reduced(cv2, picture, side)
        heat = _smoothed(found, smoothing, colors.shape[:2])
        labels = _seeds(cv2, heat, foreground, background)
        chosen = _cut(cv2, colors, labels, iterations, seed)
        if chosen.mean() > _EVERYTHING:
            labels[labels == cv2.GC_PR_BGD] = cv2.GC_BGD
            chosen = _cut(cv2, colors, labels, iterations, seed)
        chosen = _tidied(cv2, chosen, labels == cv2.GC_FGD)
        masks.append(_enlarged(cv2, chosen, picture.shape[1:]))
    return torch.from_numpy(np.stack(masks))[:, None]


def _reduced(cv2: Any, picture: Tensor, side: int) -> NDArray[np.uint8]:
    """A picture (3, H, W) as OpenCV takes it, its longest side at most ``side``: (h, w, 3) uint8, BGR."""
    values = (picture.detach().cpu().float().clamp(0, 1) * 255).round().byte()
    colors = np.ascontiguousarray(values.permute(1, 2, 0).numpy()[..., ::-1])
    factor = side / max(colors.shape[:2])
    if factor >= 1:
        return colors
    height, width = (max(1, round(length * factor)) for length in colors.shape[:2])
    return np.asarray(cv2.resize(colors, (width, height), interpolation=cv2.INTER_AREA))


def _smoothed(found: Tensor, smoothing: float, size: tuple[int, int]) -> NDArray[np.float32]:
    return upsample(smooth(found, smoothing * min(found.shape)), size)


def _seeds(cv2: Any, heat: NDArray[np.float32], foreground: float, background: float) -> NDArray[np.uint8]:
    """GrabCut's labels to begin with: surely foreground, probably background, and probably foreground elsewhere."""
    low, high = np.percentile(heat, [background, foreground])
    labels = np.full(heat.shape, cv2.GC_PR_FGD, np.uint8)
    labels[heat > high] = cv2.GC_FGD
    labels[heat <= low] = cv2.GC_PR_BGD
    outside = int((labels == cv2.GC_PR_BGD).sum())
    if not (labels == cv2.GC_FGD).any() or not _LEAST_SAMPLES <= outside <= labels.size - _LEAST_SAMPLES:
        raise ImageError("The map is too even, or the picture too small, to tell foreground from background by it.")
    return labels


def _cut(
    cv2: Any, colors: NDArray[np.uint8], labels: NDArray[np.uint8], iterations: int, seed: int
) -> NDArray[np.bool_]:
    """GrabCut's foreground; ``labels`` stay as they are."""
    cv2.setRNGSeed(seed)
    found = labels.copy()
    cv2.grabCut(colors, found, None, np.zeros((1, 65)), np.zeros((1, 65)), iterations, cv2.GC_INIT_WITH_MASK)
    return np.asarray((found == cv2.GC_FGD) | (found == cv2.GC_PR_FGD))


def _tidied(cv2: Any, chosen: NDArray[np.bool_], certain: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The connected parts of ``chosen`` that hold a seed and are no specks, with the specks in them filled."""
    parts, areas = _parts(cv2, chosen)
    seeded = np.isin(np.arange(len(areas)), parts[certain & chosen])
    kept = np.isin(parts, np.flatnonzero(seeded & (areas >= _SPECK * areas.max()))) & chosen
    parts, areas = _parts(cv2, ~kept)
    return np.asarray(kept | (np.isin(parts, np.flatnonzero(areas < _HOLE * chosen.size)) & ~kept))


def _parts(cv2: Any, chosen: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The number of the connected part each pixel is in, and each part's pixels; part 0 is what was not chosen."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(chosen.astype(np.uint8), connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    return parts, areas


def _enlarged(cv2: Any, chosen: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask at (height, width), its outline smoothed where it is enlarged."""
    height, width = size
    if chosen.shape == (height, width):
        return chosen
    soft = cv2.GaussianBlur(chosen.astype(np.float32), (0, 0), 1.0)
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_CUBIC) > 0.5)
