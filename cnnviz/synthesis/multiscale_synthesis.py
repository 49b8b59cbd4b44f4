"""What texture synthesis and style transfer share: a multiscale optimization of one image, from settings to result."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from cnnviz.network import checks
from cnnviz.network.network import Network
from cnnviz.runtime.progress import OnStep
from cnnviz.synthesis.estimate import Estimate, estimate_run
from cnnviz.synthesis.multiscale import MultiscaleOptimizer, Size, Stage, resize
from cnnviz.synthesis.optimization import ImageOptimizer


class MultiscaleSynthesis(ABC):
    """An image optimized from coarse to fine, which can be watched, stopped, saved and resumed.

    Attributes:
        network: the network whose features are matched.
        layers: layers whose features are matched.
        source: the image (1, 3, h, w) it is made from.
        size: height and width of the result.
        tile: largest side of the tiles the network is shown; 0 for the whole image.
        multiscale: the optimization.
    """

    network: Network
    layers: list[str]
    source: Tensor
    size: Size
    tile: int
    multiscale: MultiscaleOptimizer

    @abstractmethod
    def prepare_stage(self, stage: Stage, start: Tensor) -> ImageOptimizer:
        """The run of a stage from the image ``start`` (1, 3, H, W), of the stage's size."""

    @property
    def remarks(self) -> list[str]:
        """What went wrong and was mended, one sentence each."""
        return self.multiscale.remarks

    def run(self, on_step: OnStep | None = None) -> Tensor:
        """Take the remaining steps and return the image (1, 3, H, W), in [0, 1].

        Raises:
            DivergedError: the optimization diverged, with Adam too.
            ModelError: it diverged because the network's own numbers are not finite.
        """
        with checks.explain_divergence(self.network, self.source):
            return self.finish(self.multiscale.run(on_step))

    def run_with_warnings(self, on_step: OnStep | None = None) -> Tensor:
        """``run``, with each remark as a RuntimeWarning, for functions under ``torch.inference_mode``."""
        image = self.run(on_step)
        for remark in self.remarks:
            warnings.warn(remark, RuntimeWarning, stacklevel=4)
        return image

    def image(self) -> Tensor:
        """The image so far (1, 3, H, W), at its final size."""
        return self.finish(resize(self.multiscale.image(), self.size))

    def finish(self, image: Tensor) -> Tensor:
        """The result of an optimized image; the image itself unless a technique changes it."""
        return image

    def state_dict(self) -> dict[str, Any]:
        """The state to resume from, with the same images and settings."""
        return self.multiscale.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a ``state_dict``."""
        self.multiscale.load_state_dict(state)

    def estimate(self) -> Estimate:
        """Time and memory that the run will take; costs two steps at the smallest size."""
        return estimate_run(
            self.network,
            self.layers,
            self.multiscale.stages,
            lambda stage: self.prepare_stage(stage, resize(self.source, stage.size)),
            self.tile,
        )


def noise_like(pixels: Tensor, size: Size, seed: int) -> Tensor:
    """Noise (1, 3, H, W) in [0, 1], of ``size``, with the mean and deviation of the colors of pixels (1, 3, h, w)."""
    noise = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(seed)).to(pixels)
    mean, deviation = pixels.mean((2, 3), keepdim=True), pixels.std((2, 3), keepdim=True)
    return (mean + deviation * noise).clamp(0, 1)
