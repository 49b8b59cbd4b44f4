"""Zoom animations of DeepDream: each frame is the dream of the one before, enlarged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor

from cnnviz.imaging.checks import require_in_range
from cnnviz.network.network import Network
from cnnviz.runtime.progress import OnStep
from cnnviz.synthesis.deepdream import DreamTarget, dream, dream_steps
from cnnviz.synthesis.optimization import offset_steps
from cnnviz.synthesis.settings import DreamSettings


def dream_zoom(
    network: Network,
    pixels: Tensor,
    layers: Sequence[str | DreamTarget] | None = None,
    *,
    frames: int,
    factor: float = 1.05,
    degrees: float = 0.0,
    guide: Tensor | None = None,
    settings: DreamSettings | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> list[Tensor]:
    """The frames (1, 3, H, W) in [0, 1], on the CPU, of a zoom into a dream of a photo.

    The first frame takes all steps; each further one starts from a dream and takes ``later_frame_settings``.

    Args:
        network: as in ``dream``.
        pixels: the photo (1, 3, H, W), RGB in [0, 1].
        layers: as in ``dream``.
        frames: number of frames.
        factor: enlargement from one frame to the next.
        degrees: rotation from one frame to the next.
        guide: as in ``dream``.
        settings: of the first frame; None takes the defaults of ``DreamSettings``.
        seed: of the first frame's random shifts; each further frame has the next.
        on_step: called after every step of all frames.

    Raises:
        UsageError: as in ``dream``.
    """
    first = settings or DreamSettings()
    later = later_frame_settings(first)
    size = (pixels.shape[2], pixels.shape[3])
    first_steps, later_steps = (dream_steps(network, size, each) for each in (first, later))
    total = first_steps + later_steps * (frames - 1)
    image = require_in_range(pixels).to(network.device)
    shown: list[Tensor] = []
    for number in range(frames):
        done = first_steps + later_steps * (number - 1) if number else 0
        image = dream(
            network,
            zoom_in(image, factor, degrees) if number else image,
            layers,
            guide=guide,
            settings=later if number else first,
            seed=seed + number,
            on_step=offset_steps(on_step, done, total),
        )
        shown.append(image.cpu())
    return shown


def later_frame_settings(settings: DreamSettings) -> DreamSettings:
    """The settings of every frame but the first: a fifth of the steps, at most two octaves.

    The photo's color is not mixed in, which the frame before does not have any more.
    """
    return replace(settings, steps=max(1, settings.steps // 5), octaves=min(2, settings.octaves), color_share=0.0)


def zoom_in(pixels: Tensor, factor: float, degrees: float = 0.0) -> Tensor:
    """The center of pixels (1, 3, H, W) enlarged by ``factor`` to the full size, and rotated by ``degrees``."""
    height, width = pixels.shape[2:]
    angle = math.radians(degrees)
    cos, sin = math.cos(angle) / factor, math.sin(angle) / factor
    theta = pixels.new_tensor([[[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]]])
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, mode="bicubic", padding_mode="reflection", align_corners=False).clamp(0, 1)
