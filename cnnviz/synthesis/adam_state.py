"""Adam's moments resampled to another image size, so that its state is kept from scale to scale."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from cnnviz.synthesis.optimizers import Adam, Optimizer


def transfer_adam_state(source: Optimizer | None, target: Optimizer, size: tuple[int, int]) -> None:
    """Give ``target`` the moments of ``source``, resampled to ``size`` (H, W), if both are Adam and there are any.

    As in Crowson's style-transfer-pytorch. Unlike there they are scaled: a loss that is a mean over positions has
    gradients at each pixel that fall with the number of pixels, the first moments with it, the second ones with its
    square. Unscaled, steps after an enlargement to twice the sides would be a quarter as long for a thousand steps.
    """
    if not (isinstance(source, Adam) and isinstance(target, Adam)) or source.mean is None or source.square is None:
        return
    ratio = source.mean.shape[2] * source.mean.shape[3] / (size[0] * size[1])
    target.steps = source.steps
    target.mean = _resampled(source.mean, size) * ratio
    target.square = _resampled(source.square, size).clamp_min(0) * ratio**2


def _resampled(moments: Tensor, size: tuple[int, int]) -> Tensor:
    """Moments (N, 3, H, W) at another size; bilinear, so that squares stay positive."""
    return F.interpolate(moments, size, mode="bilinear", align_corners=False)
