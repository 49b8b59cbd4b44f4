"""Networks that only give scores, without layers and gradients: programs, ONNX and TFLite files."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

_BYTES_AT_ONCE = 64 << 20
"""The most bytes of images in one batch, as float32."""


class BlackBox(nn.Module):
    """A module that gives scores for images, computed elsewhere: it has no layers to look into, and no gradient.

    ``cnnviz.network.network.Network`` runs it as any other module: normalized input (N, C, H, W) -> scores (N, classes)
    that no gradient reaches.

    Attributes:
        most_per_call: images that one call of what computes the scores takes.
        calls_at_once: calls that may run at the same time.
        remedy_of_unknown_class: of the error where it has no such class, see ``CnnvizError``.
        is_normalized: whether its input is normalized, by the mean color of what it was trained on.
    """

    most_per_call: int = 1
    calls_at_once: int = 1
    is_normalized: bool = True
    remedy_of_unknown_class: str = ""

    def forward(self, x: Tensor) -> Tensor:
        """Scores (N, classes) of normalized images (N, C, H, W)."""
        raise NotImplementedError

    unused_settings: Sequence[str] = ("device", "precision", "transform_input")
    """Settings of how networks are loaded that have no effect on it."""

    def allow(self, calls: int) -> None:
        """Let this number of calls run at the same time."""
        self.calls_at_once = calls

    def batch_size(self, size: tuple[int, int], channels: int = 3) -> int:
        """The number of images of ``size`` (height, width) to give it at a time."""
        fitting = _BYTES_AT_ONCE // (4 * channels * size[0] * size[1])
        return max(1, min(self.most_per_call, fitting)) * self.calls_at_once
