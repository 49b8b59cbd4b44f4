"""An optimization whose image is the exponential moving average (EMA) of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from cnnviz.synthesis.optimization import ImageOptimizer, Terms


@dataclass
class EMAOptimizer(ImageOptimizer):
    """An ``ImageOptimizer`` whose ``image()`` is the EMA of its images; the optimized parameter is not changed by it.

    ``m_t = d · m_{t-1} + (1 - d) · x_t``, returned as ``m_t / (1 - d^t)``: the bias correction of Adam (Kingma & Ba,
    ICLR 2015, section 3), so that the first steps count as well. As in Crowson's style-transfer-pytorch, whose
    decay is 0.99; after Polyak & Juditsky, SIAM Journal on Control and Optimization 30 (1992).
    """

    decay: float = 0.99
    average: Tensor | None = field(default=None, init=False, repr=False)
    averaged: int = field(default=0, init=False)

    def image(self) -> Tensor:
        """The average so far (N, 3, H, W), in [0, 1]; before the first step, the image itself."""
        if self.average is None:
            return super().image()
        return (self.average / (1 - self.decay**self.averaged)).clamp(0, 1)

    def _step(self) -> Terms:
        terms = super()._step()
        now = super().image()
        with torch.no_grad():
            before = torch.zeros_like(now) if self.average is None else self.average
            self.average = before.lerp(now, 1 - self.decay)
        self.averaged += 1
        return terms

    def state_dict(self) -> dict[str, Any]:
        """The state to resume from, with the average."""
        return {**super().state_dict(), "average": self.average, "averaged": self.averaged}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a ``state_dict``."""
        super().load_state_dict(state)
        average = state["average"]
        self.average = None if average is None else average.to(self.parameterization.parameter.device)
        self.averaged = state["averaged"]
