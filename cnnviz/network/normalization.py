"""Normalization of pixels in [0, 1] to the input that a module was trained with."""

from __future__ import annotations

import torch
from torch import Tensor

from cnnviz.imaging.pixel_ops import LUMA
from cnnviz.network.spec import InputSpec


class Normalization:
    """Subtracts the mean and divides by the deviation that a module was trained with.

    Args:
        spec: the input that the module expects.
    """

    def __init__(self, spec: InputSpec) -> None:
        self._spec = spec
        self._constants: dict[tuple[torch.device, torch.dtype], tuple[Tensor, ...]] = {}

    def __call__(self, pixels: Tensor) -> Tensor:
        """Normalized pixels (N, C, H, W); of RGB for a network of one channel the luma, (N, 1, H, W)."""
        luma, mean, std = self._constants_like(pixels)
        if self._spec.channels == 1 and pixels.shape[1] == len(LUMA):
            pixels = (pixels * luma).sum(1, keepdim=True)
        return (pixels - mean).div_(std)

    def _constants_like(self, like: Tensor) -> tuple[Tensor, ...]:
        """Luma weights, mean and standard deviation (1, C, 1, 1), of the type and on the device of ``like``."""
        key = like.device, like.dtype
        if key not in self._constants:
            numbers = LUMA, self._spec.pixel_mean, self._spec.pixel_std
            with torch.inference_mode(False):
                self._constants[key] = tuple(like.new_tensor(values).view(1, -1, 1, 1) for values in numbers)
        return self._constants[key]
