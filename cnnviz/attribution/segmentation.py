"""Segmentation of foreground and background by GrabCut, initialized by an attribution map."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cnnviz.attribution.cam import grad_cam
from cnnviz.attribution.smoothgrad import smoothgrad
from cnnviz.attribution.targets import Target
from cnnviz.errors import ImageError, UsageError
from cnnviz.imaging.map_ops import smooth, upsample
from cnnviz.network.default_layers import last_spatial_layer
from cnnviz.network.network import Network

_MIN_REGION, _MAX_HOLE = 0.15, 0.005
"""Regions below this fraction of the largest are dropped, holes below this fraction of the image are filled."""

_CLOSING = 7
"""Side of the square, in pixels, that closes thin gaps in the mask."""

_ALL_FOREGROUND = 0.97  # of the image in the foreground: everything was kept
_MIN_SAMPLES = 5  # pixels of foreground and of background: GrabCut fits five Gaussians to each
_LIKELIEST = 5
"""Number of classes whose Grad-CAM maps locate the object."""

_SMOOTHGRAD_BLUR, _ENERGY_BLUR = 1 / 30, 1 / 40
"""Standard deviations of the Gaussians that smooth two terms of the object map, as fractions of the height."""

_MAX_FOREGROUND = 0.6
"""Fraction of the image above which a foreground is unlikely to be an object."""


def require_opencv() -> Any:
    """The module ``cv2``; UsageError if it cannot be imported."""
    try:
        import cv2
    except ImportError as error:  # also where a system library is missing, as libGL on servers
        raise UsageError(
            f"GrabCut needs OpenCV, which cannot be imported ({error}): 'pip install opencv-python', "
            "or 'pip install opencv-python-headless' on servers without a screen."
        ) from error
    return cv2


def object_map(network: Network, pixels: Tensor, target: Target = None, *, seed: int = 0) -> Tensor:
    """Map of where the object is, (N, 1, H, W) in [0, 1].

    A weighted sum of three maps, each scaled to [0, 1]: 0.5 of the Grad-CAM maps of the five most probable classes,
    weighted by their probabilities (a cat is a tabby and a tiger cat too), or that of ``target`` alone; 0.3 of
    SmoothGrad, which follows outlines, smoothed; 0.4 of the energy of the last feature maps, the sum of squares over
    channels. The weights were chosen by looking at the masks of photographs; there is no paper.

    Args:
        network: the network that locates the object.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class of the object; the most probable classes of each image if None.
        seed: of SmoothGrad's noise.

    Raises:
        UsageError: no such class.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.object_map(network, pixels).shape
        torch.Size([1, 1, 64, 96])
    """
    layer = last_spatial_layer(network)
    maps = [_object_map(network, image, target, layer, seed) for image in pixels.split(1)]
    return torch.stack(maps)[:, None]


def _object_map(network: Network, image: Tensor, target: Target, layer: str, seed: int) -> Tensor:
    """The map (H, W) of one image (1, 3, H, W)."""
    size = (image.shape[2], image.shape[3])
    likeliest = [(target, 1.0)] if target is not None else _likeliest(network, image)
    cam = sum(weight * _cam(network, image, index, layer) for index, weight in likeliest)
    outlines = smoothgrad(network, image, likeliest[0][0], seed=seed)[0, 0]
    with torch.no_grad():
        energy = network.features(image, [layer])[layer].square().sum(1)[0]
    parts = (
        0.5 * _min_max(np.asarray(cam)),
        0.3 * _min_max(smooth(outlines.detach().cpu(), size[0] * _SMOOTHGRAD_BLUR)),
        0.4 * _min_max(smooth(upsample(energy.cpu(), size), size[0] * _ENERGY_BLUR)),
    )
    return torch.from_numpy(_min_max(sum(parts[1:], parts[0])))


def _likeliest(network: Network, image: Tensor) -> list[tuple[Target, float]]:
    """The classes that locate the object, and their weights; of values that are no probabilities the largest alone."""
    found = network.predict(image, _LIKELIEST if network.has_probabilities else 1)[0]
    return [(index, score if network.has_probabilities else 1.0) for index, _, score in found]


def _cam(network: Network, image: Tensor, index: Target, layer: str) -> NDArray[np.float32]:
    return _min_max(grad_cam(network, image, index, layer=layer)[0, 0].detach().cpu().float().numpy())


def _min_max(found: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values scaled to [0, 1]; zeros where they are the same everywhere."""
    low, high = float(found.min()), float(found.max())
    return (found - low) / (high - low) if high > low else np.zeros_like(found)


def segment_foreground(
    pixels: Tensor,
    object_map: Tensor,
    *,
    foreground: float = 90.0,
    likely: float = 62.0,
    background: float = 15.0,
    margin: float = 0.03,
    smoothing: float = 0.0,
    iterations: int = 8,
    side: int = 448,
    seed: int = 0,
) -> Tensor:
    """Masks of the object by GrabCut, initialized by a map of where the object is.

    Simonyan, Vedaldi & Zisserman, "Deep Inside Convolutional Networks", ICLR workshop 2014, arXiv:1312.6034, section
    3.2; Rother, Kolmogorov & Blake, "GrabCut: Interactive Foreground Extraction Using Iterated Graph Cuts", ACM
    Transactions on Graphics 23(3), SIGGRAPH 2004.

    Unlike Simonyan et al., the cut is iterated (GrabCut, not one GraphCut), starts from ``object_map`` instead of a
    gradient, whose largest values lie on outlines, and has four kinds of seeds: pixels above ``foreground`` are surely
    object, above ``likely`` probably; pixels below ``background``, and in a ``margin`` along the border unless above
    ``foreground``, are surely background; the rest are probably background.

    The cut is made on the image reduced to ``side``, since its time grows faster than the number of pixels. The mask is
    upsampled with a smooth outline, so finer details are lost.

    Args:
        pixels: (N, 3, H, W), RGB in [0, 1], at any size.
        object_map: (N, 1, h, w), larger where the object is; any size, stretched over the image.
        foreground, likely, background: percentiles of the map.
        margin: width of the border that is background, as a fraction of the shorter side; 0 for none.
        smoothing: standard deviation of a Gaussian applied to the map first, as a fraction of its shorter side; 0.04
            suits a plain gradient.
        iterations: of GrabCut.
        side: shorter side, in pixels, to which larger images are reduced for GrabCut.
        seed: of the clustering that initializes the color models.

    Returns:
        Masks (N, 1, H, W), bool, True in the foreground.

    Raises:
        UsageError: OpenCV cannot be imported; shapes that do not match; percentiles out of order.
        ImageError: a constant map, or an image of too few pixels.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.segment_foreground(pixels, cnnviz.object_map(network, pixels)).shape
        torch.Size([1, 1, 64, 96])
    """
    if not 0 < background < likely < foreground < 100:
        raise UsageError(
            "Percentiles must be 0 < background < likely < foreground < 100, "
            f"not {background:g}, {likely:g}, {foreground:g}."
        )
    if pixels.ndim != 4 or pixels.shape[1] != 3 or object_map.shape[:2] != (pixels.shape[0], 1):
        raise UsageError(
            f"Pixels (N, 3, H, W) need maps (N, 1, h, w), not {tuple(pixels.shape)} and {tuple(object_map.shape)}."
        )
    cv2 = require_opencv()
    masks = []
    for image, found in zip(pixels, object_map[:, 0], strict=True):
        colors = _reduced(cv2, image, side)
        heat = upsample(smooth(found.detach().cpu(), smoothing * min(found.shape)), colors.shape[:2])
        labels = _seeds(cv2, heat, (background, likely, foreground), margin)
        chosen = _cut(cv2, colors, labels, iterations, seed)
        if chosen.mean() > _ALL_FOREGROUND:
            labels[labels == cv2.GC_PR_BGD] = cv2.GC_BGD
            chosen = _cut(cv2, colors, labels, iterations, seed)
        chosen = _clean_mask(cv2, chosen, labels == cv2.GC_FGD)
        masks.append(_upsample_mask(cv2, chosen, image.shape[1:]))
    return torch.from_numpy(np.stack(masks))[:, None]


def mask_warning(mask: Tensor) -> str | None:
    """The reason why a mask (H, W) is unlikely to be an object (too large, or touching all borders); None otherwise."""
    share = float(mask.float().mean())
    if share > _MAX_FOREGROUND:
        return f"it keeps {share:.0%} of the image".replace("%", " %")
    if all(bool(edge.any()) for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1])):
        return "it touches every border of the image"
    return None


def _reduced(cv2: Any, image: Tensor, side: int) -> NDArray[np.uint8]:
    """An image (3, H, W) as OpenCV expects it, (h, w, 3) uint8 BGR, its shorter side at most ``side``."""
    values = (image.detach().cpu().float().clamp(0, 1) * 255).round().byte()
    colors = np.ascontiguousarray(values.permute(1, 2, 0).numpy()[..., ::-1])
    factor = side / min(colors.shape[:2])
    if factor >= 1:
        return colors
    height, width = (max(1, round(length * factor)) for length in colors.shape[:2])
    return np.asarray(cv2.resize(colors, (width, height), interpolation=cv2.INTER_AREA))


def _seeds(
    cv2: Any, heat: NDArray[np.float32], percentiles: tuple[float, float, float], margin: float
) -> NDArray[np.uint8]:
    """GrabCut's initial labels: surely or probably foreground, surely or probably background."""
    low, middle, high = np.percentile(heat, percentiles)
    labels = np.full(heat.shape, cv2.GC_PR_BGD, np.uint8)
    labels[heat > middle] = cv2.GC_PR_FGD
    labels[heat <= low] = cv2.GC_BGD
    width = round(margin * min(heat.shape))
    border = np.ones(heat.shape, bool)
    border[width : heat.shape[0] - width, width : heat.shape[1] - width] = False
    labels[border] = cv2.GC_BGD
    labels[heat > high] = cv2.GC_FGD
    outside = int(np.isin(labels, (cv2.GC_BGD, cv2.GC_PR_BGD)).sum())
    if not (labels == cv2.GC_FGD).any() or not _MIN_SAMPLES <= outside <= labels.size - _MIN_SAMPLES:
        raise ImageError("The map is too even, or the image too small, to tell foreground from background.")
    return labels


def _cut(
    cv2: Any, colors: NDArray[np.uint8], labels: NDArray[np.uint8], iterations: int, seed: int
) -> NDArray[np.bool_]:
    """The mask of GrabCut's foreground; ``labels`` are not changed."""
    cv2.setRNGSeed(seed)
    found = labels.copy()
    cv2.grabCut(colors, found, None, np.zeros((1, 65)), np.zeros((1, 65)), iterations, cv2.GC_INIT_WITH_MASK)
    return np.asarray((found == cv2.GC_FGD) | (found == cv2.GC_PR_FGD))


def _clean_mask(cv2: Any, chosen: NDArray[np.bool_], certain: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The large connected regions of ``chosen`` that contain a seed, with thin gaps closed and small holes filled."""
    parts, areas = _parts(cv2, chosen)
    seeded = np.isin(np.arange(len(areas)), parts[certain & chosen])
    kept = np.isin(parts, np.flatnonzero(seeded & (areas >= _MIN_REGION * areas.max()))) & chosen
    edge = _CLOSING
    wide = np.pad(kept.astype(np.uint8), edge, mode="edge")
    closed = cv2.morphologyEx(wide, cv2.MORPH_CLOSE, np.ones((_CLOSING, _CLOSING), np.uint8))
    kept = closed[edge:-edge, edge:-edge].astype(bool)
    parts, areas = _parts(cv2, ~kept)
    return np.asarray(kept | (np.isin(parts, np.flatnonzero(areas < _MAX_HOLE * chosen.size)) & ~kept))


def _parts(cv2: Any, chosen: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The index of each pixel's connected region, and the areas of the regions; region 0 is the rest."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(chosen.astype(np.uint8), connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    return parts, areas


def _upsample_mask(cv2: Any, chosen: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask at (height, width), its outline smoothed if upsampled."""
    height, width = size
    if chosen.shape == (height, width):
        return chosen
    soft = cv2.GaussianBlur(chosen.astype(np.float32), (0, 0), 1.0)
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_CUBIC) > 0.5)
