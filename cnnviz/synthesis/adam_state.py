"""Adam's moments at another size of the picture, so that what was learned of the slopes is not lost."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from cnnviz.synthesis.optimizers import Adam, Optimizer


def transfer_adam_state(past: Optimizer | None, to: Optimizer, size: tuple[int, int]) -> None:
    """Give ``to`` the moments of ``past``, resampled to ``size``, if both are Adam and there are any.

    As in Crowson's style-transfer-pytorch. Opposed to it they are scaled: a loss that is a mean over positions has
    slopes at each pixel that fall with the number of pixels, the first moments with it, the second ones with its
    square. Unscaled, steps after an enlargement to twice the sides would be a quarter as long for a thousand steps.
    """
    if not (isinstance(past, Adam) and isinstance(to, Adam)) or past.mean is None or past.square is None:
        return
    shrink = past.mean.shape[2] * past.mean.shape[3] / (size[0] * size[1])
    to.steps = past.steps
    to.mean = _resampled(past.mean, size) * shrink
    to.square = _resampled(past.square, size).clamp_min(0) * shrink**2


def _resampled(moments: Tensor, size: tuple[int, int]) -> Tensor:
    """Moments (N, 3, H, W) at another size; bilinear, so that squares stay positive."""
    return F.interpolate(moments, size, mode="bilinear", align_corners=False)
