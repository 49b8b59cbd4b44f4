"""Scores of an image with parts of it hidden by masks, some masks at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from cnnviz.attribution.full_pass import FullPass
from cnnviz.attribution.occlusion import hidden_score, make_fill
from cnnviz.attribution.settings import FILLS, SCORES
from cnnviz.attribution.targets import TargetFunction
from cnnviz.errors import UsageError
from cnnviz.network import checks
from cnnviz.network.network import Network
from cnnviz.runtime.memory import in_batches_that_fit
from cnnviz.runtime.precision import at_least_float32

_FILL_PATCH = 32
"""The fill ``blur`` is as strong as that of occlusion with patches of this side, in pixels."""


class MaskedScores:
    """Scores of one image of which masks hide parts.

    Args:
        network: the network to explain.
        image: (1, C, H, W), in [0, 1], on the network's device.
        target: what is explained.
        fill: what replaces hidden pixels, as for ``occlusion``.
        score: ``probability`` or ``logit``.
        seed: of the fill ``noise``.
    """

    def __init__(
        self, network: Network, image: Tensor, target: int | TargetFunction, fill: str, score: str, seed: int
    ) -> None:
        self.network, self.image, self.target, self.score = network, image, target, score
        self.x = network.normalize(image)
        self.hidden = network.normalize(make_fill(image, fill, _FILL_PATCH, seed))
        self._pass = FullPass(network.forward_pass, self.x)

    @torch.no_grad()
    def over(self, count: int, masks: Callable[[slice], Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """The scores (B,) and masks (B, 1, H, W) of ``count`` masks, a batch at a time.

        ``masks`` makes those of a slice, in [0, 1]: 1 shows a pixel, 0 hides it.
        """

        def scored(part: slice) -> tuple[Tensor, Tensor]:
            some = masks(part)
            with self.network.autocast():
                output = self._pass.run(torch.lerp(self.hidden, self.x, some.to(self.x)))
            return self.of(output), some

        return in_batches_that_fit(scored, count, self.batch)

    def of(self, output: Tensor) -> Tensor:
        """The scores (B,) by what a pass gives for B images."""
        logits = checks.require_finite(
            at_least_float32(output), "logits of images with parts hidden", self.network, self.image
        )
        return hidden_score(self.network, logits, self.target, self.score)

    @property
    def batch(self) -> int:
        """How many masks are computed at a time."""
        black_box, (height, width) = self.network.black_box, self.image.shape[2:]
        if black_box:
            return black_box.batch_size((height, width), self.network.spec.channels)
        if self.network.images_at_once is not None:
            return 1
        with torch.no_grad(), self.network.autocast():
            return self._pass.batch_size()


def require_choices(fill: str, score: str) -> None:
    """Raise UsageError for a fill or score that there is none of."""
    for kind, value, allowed in (("fill", fill, FILLS), ("score", score, SCORES)):
        if value not in allowed:
            raise UsageError(f"There is no {kind} '{value}'; the choices are {', '.join(allowed)}.")
