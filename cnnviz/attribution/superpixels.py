"""Superpixels: connected parts of an image of similar color."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cnnviz.errors import UsageError

_COMPACTNESS = 10.0
"""How much nearness counts beside color, as in the authors' code."""

_SCALES = (50, 100, 150, 250, 500, 1200)
"""Felzenszwalb scales of XRAI's segmentations, for values in [-1, 1]."""

_SMALLEST = 0.003
"""The smallest segment in these, as a fraction of the image: 150 pixels of 224 × 224."""

_REACH = 5


def superpixels(image: Tensor, segments: int) -> Tensor:
    """The superpixel of each pixel of an image (1, C, H, W) in [0, 1]: (H, W), numbered from 0 without gaps.

    SLIC: Achanta, Shaji, Smith, Lucchi, Fua & Süsstrunk, "SLIC Superpixels Compared to State-of-the-art Superpixel
    Methods", TPAMI 2012; by scikit-image. There are about ``segments``.

    Raises:
        UsageError: fewer than two segments.
    """
    from skimage.segmentation import slic

    if segments < 2:
        raise UsageError("There must be at least two superpixels.")
    values = _channels_last(image)
    found = slic(
        values,
        n_segments=segments,
        compactness=_COMPACTNESS,
        convert2lab=values.shape[2] == 3,
        channel_axis=-1,
        start_label=0,
        enforce_connectivity=True,
    )
    return _numbered(found)


def overlapping_segments(image: Tensor) -> NDArray[np.bool_]:
    """Parts of an image (1, C, H, W) in [0, 1] from small to large, each a little larger than it is: (S, H, W).

    Felzenszwalb & Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004, at six scales, by scikit-image;
    each part reaches five pixels into its neighbors, as in the authors' code of XRAI.
    """
    from skimage.morphology import isotropic_dilation
    from skimage.segmentation import felzenszwalb

    values, found = 2 * _channels_last(image) - 1, []
    smallest = max(2, round(_SMALLEST * image[0, 0].numel()))
    reach = _REACH if min(image.shape[2:]) >= 8 * _REACH else 1
    for scale in _SCALES:
        labels = felzenszwalb(values, scale=scale, sigma=0.8, min_size=smallest, channel_axis=-1)
        found += [isotropic_dilation(labels == number, reach) for number in np.unique(labels)]
    return np.stack(found)


def _channels_last(image: Tensor) -> NDArray[np.float64]:
    return np.ascontiguousarray(image[0].detach().cpu().clamp(0, 1).permute(1, 2, 0).double().numpy())


def _numbered(found: NDArray[np.integer]) -> Tensor:
    """The labels, renumbered from 0 without gaps."""
    return torch.from_numpy(np.unique(found, return_inverse=True)[1].reshape(found.shape)).long()
