"""Image generators as a parameterization: files of them, and the latent code that is optimized."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from cnnviz.errors import UsageError
from cnnviz.runtime.paths import is_file
from cnnviz.synthesis.parameterization import Latent

_DEVIATION = 0.1
"""Standard deviation of the initial latent code."""

_BOUND = 3.0
"""Largest magnitude of a latent value."""


def load_generator(path: Path) -> nn.Module:
    """The generator in a TorchScript file: a program for torch's interpreter, which cannot reach the machine.

    Raises:
        UsageError: there is no such file, or it is not TorchScript.
    """
    if not is_file(path):
        raise UsageError(f"There is no generator '{path}'.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # TorchScript is deprecated, but such files are common
            return torch.jit.load(path, map_location="cpu")
    except Exception as error:  # damaged files, and those of other kinds, fail in many ways
        raise UsageError(
            f"'{path}' is no TorchScript module; torch.jit.trace(generator, z).save() makes one."
        ) from error


def make_latent(
    generator: nn.Module, count: int, shape: Sequence[int], random: torch.Generator, device: torch.device
) -> Latent:
    """A random latent code for each of ``count`` images of a generator, whose parameters are frozen.

    Args:
        generator: latent codes (N, *shape) -> images (N, 3, h, w) in [-1, 1].
        count: N.
        shape: of one latent code.
        random: draws the codes.
        device: where they are optimized.

    Raises:
        UsageError: the generator does not take such codes, or returns no such images.
    """
    start = _DEVIATION * torch.randn(count, *shape, generator=random)
    try:
        with torch.no_grad():
            images = generator.to(device).eval()(start.to(device))
    except RuntimeError as error:
        raise UsageError(
            f"The generator takes no latent code of the shape {tuple(shape)}: {str(error).strip().splitlines()[-1]}"
        ) from error
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != 3:
        raise UsageError("The generator must make images (N, 3, H, W) of latent codes.")
    for parameter in generator.parameters():
        parameter.requires_grad_(False)
    return Latent(generator, start.to(device), bound=_BOUND)
